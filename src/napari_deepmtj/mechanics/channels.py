"""Channels recorded beside a clip (torque, angle, trigger ...), from CSV and C3D files.

Their own times stay theirs; bringing them to the clip's time is `mechanics.sync`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import ChannelError, MissingExtraError
from napari_deepmtj.results.c3d_file import open_c3d

FloatArray = npt.NDArray[np.float64]
Part = Literal["analog", "points"]

#: Names of a column of times, and what its unit is worth in seconds.
TIME_NAMES = frozenset({"time", "times", "t", "zeit", "zeitpunkt", "temps", "tiempo", "tempo"})
SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}

#: "Torque (Nm)", "Torque [Nm]", and the names this package itself writes: "torque_nm".
_IN_BRACKETS = re.compile(r"(?P<name>.*?)\s*[(\[](?P<unit>[^()\[\]]*)[)\]]\s*")
_SUFFIX = re.compile(r"(?P<name>.+)_(?P<unit>s|ms|nm|n|mm|deg|rad|v|mv)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: 1.234 in a file with decimal commas is a thousand or more.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+")


@dataclass(frozen=True)
class Channels:
    """Signals over one common row of times.

    Parameters
    ----------
    times_s : ndarray, shape (n,)
        Increasing times in s, of the file's own clock.
    values : mapping of str to ndarray, shape (n,)
        Each channel by its name; NaN where missing.
    units : mapping of str to str
        Of each channel, as the file has it; "" where it does not say.
    name : str
        Base name of the file.
    sha256 : str
        Hash of its bytes.
    """

    times_s: FloatArray
    values: Mapping[str, FloatArray]
    units: Mapping[str, str]
    name: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        times = np.asarray(self.times_s, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise ChannelError("times must be finite and increase", path=self.name or None)
        if any(np.shape(v) != times.shape for v in self.values.values()):
            raise ChannelError("channels must have one value a time", path=self.name or None)
        if set(self.values) != set(self.units):
            raise ChannelError("every channel needs a unit, if only ''", path=self.name or None)

    def __len__(self) -> int:
        return len(self.times_s)

    def __getitem__(self, name: str) -> FloatArray:
        """Return one channel.

        Raises
        ------
        ChannelError
            If there is none of that name.
        """
        if name not in self.values:
            has = ", ".join(repr(known) for known in self.values)
            raise ChannelError(f"has no channel {name!r}; it has {has}", path=self.name or None)
        return self.values[name]

    @property
    def interval_s(self) -> float:
        """Median time between samples in s; NaN for fewer than two."""
        return float(np.median(np.diff(self.times_s))) if len(self) > 1 else math.nan

    def shifted(self, offset_s: float) -> Self:
        """Return the same samples at times later by `offset_s`."""
        return replace(self, times_s=self.times_s + offset_s)


def read_channels(
    path: str | Path,
    *,
    rate_hz: float | None = None,
    time: str | None = None,
    time_unit: str | None = None,
    part: Part | None = None,
) -> Channels:
    """Read channels from a CSV, C3D or OpenSim file (.mot, .sto).

    A CSV has one row of names, units in brackets ("Torque (Nm)") or in a second row, and a column
    of times, or a rate. Cells are parted by commas, semicolons or tabs, decimals by points or
    commas: whichever makes every cell a number. What can be read in two ways is refused.

    Parameters
    ----------
    path : str or Path
        The file; ".c3d" is C3D, which needs the extra `c3d`. Tables of OpenSim are in seconds;
        only their angles have a unit, by the header's `inDegrees`.
    rate_hz : float or None
        Samples a second of a CSV without times; its first sample is then at 0 s.
    time : str or None
        Name of the column of times; None takes the one that is called so.
    time_unit : str or None
        Its unit, "s" or "ms", where the header does not say.
    part : {"analog", "points"} or None
        Which of a C3D file's two groups of channels; None if only one is there. Time 0 is its
        first stored sample.

    Raises
    ------
    ChannelError
        If the file cannot be read, or not in one way only; row and column are named.
    MissingExtraError
        If it is C3D, and ezc3d is not installed.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ChannelError(f"cannot be read ({error.strerror or error})", path=path) from error
    digest = hashlib.sha256(content).hexdigest()
    if path.suffix.lower() == ".c3d":
        found = _read_c3d(path, part)
    elif part is not None:
        raise ChannelError("is no C3D file; leave out which part of it to read", path=path)
    else:
        text = _decoded(content)
        try:
            if path.suffix.lower() in OPENSIM:
                found = _read_opensim(text)
            else:
                found = _read_csv(text, rate_hz, time, time_unit)
        except ChannelError as error:
            raise ChannelError(error.message, path=path) from error
    return replace(found, name=path.name, sha256=digest)


# ---- OpenSim -------------------------------------------------------------------------------


def _read_opensim(text: str) -> Channels:
    """Read a table of OpenSim: a header up to `endheader`, then names and numbers."""
    lines = text.splitlines()
    stripped = [line.strip().lower() for line in lines]
    if "endheader" not in stripped:
        raise ChannelError("has no line endheader, after which a table of OpenSim begins")
    first = stripped.index("endheader") + 1
    rows = [(n, line.split()) for n, line in enumerate(lines[first:], first + 1) if line.strip()]
    if len(rows) < 2:
        raise ChannelError("has no rows of numbers after endheader")
    names = rows[0][1]
    if names[0].lower() != "time" or len(names) < 2 or len(set(names)) < len(names):
        raise ChannelError(f"line {rows[0][0]}: must be time and names of columns, each once")
    table = np.empty((len(rows) - 1, len(names)))
    for k, (number, cells) in enumerate(rows[1:]):
        try:
            table[k] = [float(value) for value in cells]
        except ValueError:
            raise ChannelError(
                f"line {number}: must have {len(names)} numbers, as the names above"
            ) from None
    times = table[:, 0]
    bad = np.flatnonzero(~np.isfinite(times) | (np.diff(times, prepend=-np.inf) <= 0))
    if len(bad):
        raise ChannelError(f"line {rows[1 + bad[0]][0]}: times must increase, row by row")
    angle = "deg" if re.search(r"indegrees\s*=\s*yes", text, re.IGNORECASE) else "rad"
    units = {name: angle if _ANGLE.search(name) else "" for name in names[1:]}
    return Channels(times, dict(zip(names[1:], table[:, 1:].T.copy(), strict=True)), units)


# ---- CSV -----------------------------------------------------------------------------------


#: Endings of OpenSim's tables, and what its coordinates that are angles are called.
OPENSIM = (".mot", ".sto")
_ANGLE = re.compile(r"angle|flexion|adduction|rotation|tilt|bending|extension", re.IGNORECASE)


@dataclass(frozen=True)
class _Sheet:
    """One way of reading a CSV: its cells, and which mark parts decimals."""

    delimiter: str
    decimal: str
    rows: list[list[str]]
    head: int  # rows before the first one of numbers: names, perhaps units

    def number(self, cell: str) -> float | None:
        """Return a cell's number, NaN if it is empty, None if it is none."""
        cell = cell.strip()
        if cell.lower() in ("", "nan"):
            return math.nan
        if self.decimal == ",":
            if "." in cell:
                return None
            cell = cell.replace(",", ".")
        return float(cell) if _NUMBER.fullmatch(cell) else None

    def problem(self) -> str | None:
        """Return why this cannot be the way; None if it can."""
        width = len(self.rows[0])
        for line, row in enumerate(self.rows, start=1):
            if len(row) != width:
                return f"row {line} has {len(row)} cells, the header {width}"
            for name, cell in zip(self.rows[0], row, strict=True):
                if line > self.head and self.number(cell) is None:
                    return f"row {line}, column {name.strip()!r}: {cell!r} is no number"
        return None


def _decoded(content: bytes) -> str:
    """Return text; spreadsheets save as UTF-8, UTF-16, or in the Windows code page."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _read_csv(text: str, rate: float | None, time: str | None, unit: str | None) -> Channels:
    sheet = _only_way(text)
    names, units = _header(sheet)
    table = np.array([[sheet.number(c) for c in row] for row in sheet.rows[sheet.head :]], float)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ChannelError(f"has two columns {twice!r}; rename one")
    if not len(table):
        raise ChannelError("has no rows of numbers")
    at = _time_column(names, units, time)
    if at is None:
        if rate is None:
            raise ChannelError("has no column of times; name it 'time (s)', or give the rate")
        if not rate > 0:
            raise ChannelError(f"a rate of {rate} samples a second is impossible")
        times = np.arange(len(table)) / rate
    else:
        if rate is not None:
            raise ChannelError(f"has times, in {names[at]!r}; leave out the rate")
        times = table[:, at] * _seconds(names[at], units[at], unit)
        bad = np.flatnonzero(~np.isfinite(times) | (np.diff(times, prepend=-np.inf) <= 0))
        if len(bad):
            line = int(bad[0]) + sheet.head + 1
            raise ChannelError(f"row {line}, column {names[at]!r}: times must increase, row by row")
    kept = [k for k in range(len(names)) if k != at]
    if not kept:
        raise ChannelError("has times and nothing else")
    values = {names[k]: table[:, k] for k in kept}
    return Channels(times, values, {names[k]: units[k] for k in kept})


def _only_way(text: str) -> _Sheet:
    """Return the one way in which every cell is a number; refuse none and several."""
    stated = re.match(r"sep=(.)\r?\n", text)  # as a spreadsheet program states it
    ways = list(_ways(text[stated.end() :], stated[1]) if stated else _ways(text, "\t;,"))
    if not ways:
        raise ChannelError("is empty")
    problems = [way.problem() for way in ways]
    fits = [way for way, problem in zip(ways, problems, strict=True) if problem is None]
    if not fits:
        # The delimiter that is in the header most often tells best what is wrong.
        best = max(ways, key=lambda way: len(way.rows[0]))
        marks = [p for w, p in zip(ways, problems, strict=True) if w.delimiter == best.delimiter]
        raise ChannelError(f"{marks[0]}; save it as CSV with one mark for decimals, names in row 1")
    first = fits[0]
    if any(not _same(first, other) for other in fits[1:]):
        raise ChannelError(
            "can be read in two ways, with decimal commas or with commas between cells; save it "
            "with semicolons or tabs between cells"
        )
    marked = [c for row in first.rows[first.head :] for c in row if "." in c or "," in c]
    if first.delimiter != "," and marked and all(_THOUSANDS.fullmatch(c.strip()) for c in marked):
        raise ChannelError(
            f"can be read in two ways: {marked[0]!r} with decimals, or in thousands; save it with "
            "more decimals, or without marks of thousands"
        )
    return first


def _ways(text: str, delimiters: str) -> Iterator[_Sheet]:
    """Yield every way of parting cells and decimals under which the header has the parts."""
    header = text.partition("\n")[0]
    for delimiter in [mark for mark in delimiters if mark in header] or [";"]:
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise ChannelError(f"is no CSV ({error})") from error
        while rows and not any(cell.strip() for cell in rows[-1]):
            rows.pop()
        if not rows:
            return
        # A spreadsheet keeps columns in which nothing stands any more.
        empty = [not any(c.strip() for c in column) for column in zip_longest(*rows, fillvalue="")]
        while empty and empty[-1]:
            empty.pop()
        rows = [[*row[: len(empty)]] for row in rows]
        for decimal in "." if delimiter == "," else ".,":
            sheet = _Sheet(delimiter, decimal, rows, 0)
            yield replace(sheet, head=_head(sheet))


def _head(sheet: _Sheet) -> int:
    """Return how many rows come before the numbers: none, names, or names and units."""
    numbers = [[sheet.number(cell) for cell in row] for row in sheet.rows[:2]]
    if None not in numbers[0]:
        return 0
    units = len(numbers) == 2 and all(n is None or math.isnan(n) for n in numbers[1])
    units = units and None in numbers[1]
    return 2 if units and not any(_IN_BRACKETS.fullmatch(c) for c in sheet.rows[0]) else 1


def _same(a: _Sheet, b: _Sheet) -> bool:
    """Return whether two ways say the same."""
    if a.rows != b.rows or a.head != b.head:
        return False
    first, second = (
        np.array([[s.number(c) for c in row] for row in s.rows[s.head :]], dtype=float)
        for s in (a, b)
    )
    return np.array_equal(first, second, equal_nan=True)


def _header(sheet: _Sheet) -> tuple[list[str], list[str]]:
    """Return names and units of the columns."""
    if not sheet.head:
        raise ChannelError("row 1 has numbers; write the columns' names above, with their units")
    names, units = [], []
    below = sheet.rows[1] if sheet.head == 2 else [""] * len(sheet.rows[0])
    for column, (cell, second) in enumerate(zip(sheet.rows[0], below, strict=True), start=1):
        said = _IN_BRACKETS.fullmatch(cell.strip()) or _SUFFIX.fullmatch(cell.strip())
        name, unit = (said["name"], said["unit"]) if said else (cell.strip(), "")
        if not name:
            raise ChannelError(f"row 1, column {column} has no name")
        names.append(name)
        units.append(unit.strip() or second.strip().strip("()[]"))
    return names, units


def _time_column(names: list[str], units: list[str], time: str | None) -> int | None:
    if time is not None:
        if time not in names:
            has = ", ".join(repr(name) for name in names)
            raise ChannelError(f"has no column {time!r}; it has {has}")
        return names.index(time)
    found = [i for i, name in enumerate(names) if name.lower() in TIME_NAMES]
    if len(found) > 1:
        raise ChannelError("has several columns of times; say which one")
    return found[0] if found else None


def _seconds(name: str, said: str, given: str | None) -> float:
    """Return what the times' unit is in seconds."""
    unit = said or given or ""
    if said and given and SECONDS.get(said.lower()) != SECONDS.get(given.lower()):
        raise ChannelError(f"says that {name!r} is in {said}, not in {given}")
    if unit.lower() not in SECONDS:
        what = f"is in {unit!r}" if unit else "has no unit"
        raise ChannelError(f"column {name!r} {what}; name it 'time (s)' or 'time (ms)'")
    return SECONDS[unit.lower()]


# ---- C3D -----------------------------------------------------------------------------------


def _read_c3d(path: Path, part: Part | None) -> Channels:
    """Return the analog channels, or the points as "NAME x", "NAME y", "NAME z"."""
    try:
        file = open_c3d(path)
    except ImportError as error:
        raise MissingExtraError("reading C3D files", "c3d") from error
    except (OSError, ValueError) as error:
        raise ChannelError(f"is no C3D file that can be read ({error})", path=path) from error
    parts: dict[Part, Channels] = {}
    analog, points = file["data"]["analogs"][0], file["data"]["points"]
    said: Mapping[str, Any] = file["parameters"]
    if analog.size:
        names, units = (_words(said["ANALOG"], key, len(analog)) for key in ("LABELS", "UNITS"))
        values = dict(zip(names, np.asarray(analog, dtype=np.float64), strict=True))
        rate = float(file["header"]["analogs"]["frame_rate"])
        parts["analog"] = _even(analog.shape[1], rate, values, dict(zip(names, units, strict=True)))
    if points.size:
        names = _words(said["POINT"], "LABELS", points.shape[1])
        unit = "".join(said["POINT"]["UNITS"]["value"][:1])
        lost = np.asarray(file["data"]["meta_points"]["residuals"])[0] < 0
        values = {
            f"{name} {axis}": np.where(lost[k], np.nan, points[i, k].astype(np.float64))
            for k, name in enumerate(names)
            for i, axis in enumerate("xyz")
        }
        rate = float(file["header"]["points"]["frame_rate"])
        parts["points"] = _even(points.shape[2], rate, values, dict.fromkeys(values, unit))
    if part is None and len(parts) == 2:
        raise ChannelError("has analog channels and points; say which: analog or points", path=path)
    chosen = next(iter(parts), None) if part is None else part
    if chosen not in parts:
        raise ChannelError(f"has no {chosen or 'channels'} with samples", path=path)
    return parts[chosen]


def _words(group: Mapping[str, Any], key: str, n: int) -> list[str]:
    """Return a parameter's `n` words, empty where the file has fewer."""
    words = [str(word).strip() for word in group.get(key, {}).get("value", [])]
    words = [*words, *[""] * n][:n]
    return [w or f"channel {i}" for i, w in enumerate(words, 1)] if key == "LABELS" else words


def _even(n: int, rate: float, values: dict[str, FloatArray], units: dict[str, str]) -> Channels:
    if not rate > 0:
        raise ChannelError(f"states a rate of {rate} samples a second")
    return Channels(np.arange(n) / rate, values, units)
