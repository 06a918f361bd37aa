"""Which clips a study has, and what is known about each: from a table, or from names of files.

Nothing is opened here but the table; what is then done with a clip is `plan` and `run`.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj.calibration.roi import PRESETS
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import CalibrationError, DeepMTJError, MissingExtraError, ResultError
from napari_deepmtj.labels.table import unguarded
from napari_deepmtj.video.sidecar import DistalSide

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

#: Columns that say whose clip it is and of what; a pattern of file names may give them too.
FACTS: tuple[str, ...] = ("subject", "group", "visit", "side", "movement", "condition", "trial")
#: Columns that change how a clip is tracked, or what is put beside it.
SETTINGS: tuple[str, ...] = (
    "roi",
    "scale",
    "distal_side",
    "start",
    "stop",
    "model",
    "preset",
    "external_file",
    "sync_offset_s",
)
#: Who says so, of a scale that stands in the table.
TABLE = "study table"

#: Problems of a table that are told at once.
_TOLD = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One clip of a study.

    Parameters
    ----------
    clip : Path
        The file or folder; it need not exist. The name of an open clip without a file.
    facts : mapping of str to str
        `FACTS` and any other columns, as written; carried into every table.
    roi : str or Roi or None
        As `inference.predictor.track` takes it.
    scale : Scale or None
        In the place of the clip's own.
    distal_side : {"left", "right"} or None
        Where the tendon runs to.
    start, stop : int or None
        First frame, and the one after the last.
    model : str or None
        Id or file of the weights.
    preset : str or None
        Name of the preset that says what the entry itself does not.
    external_file : Path or None
        Force, angle or other channels recorded with it.
    sync_offset_s : float or None
        What is added to that file's times to get the clip's, s.
    source : VideoSource or None
        The clip itself, open, where it has no file.
    """

    clip: Path
    facts: Mapping[str, str] = field(default_factory=dict)
    roi: str | Roi | None = None
    scale: Scale | None = None
    distal_side: DistalSide | None = None
    start: int | None = None
    stop: int | None = None
    model: str | None = None
    preset: str | None = None
    external_file: Path | None = None
    sync_offset_s: float | None = None
    source: VideoSource | None = None


def entries_of_files(clips: Iterable[Path], pattern: str | None = None) -> list[Entry]:
    """Return entries of files, what their names say by a pattern among the facts.

    Parameters
    ----------
    clips : iterable of Path
        The files.
    pattern : str, optional
        A regular expression with named groups, searched in the file's path (`/` between
        folders): `(?P<subject>S[0-9]+)/(?P<movement>mvc|rom)`.

    Raises
    ------
    ResultError
        If the pattern is none, names nothing, or does not fit a file.
    """
    compiled = None if pattern is None else _compiled(pattern)
    entries: list[Entry] = []
    for clip in clips:
        facts: dict[str, str] = {}
        if compiled is not None:
            found = compiled.search(clip.as_posix())
            if found is None:
                raise ResultError(
                    f"its path does not fit the pattern {pattern!r}; correct the pattern, or "
                    "describe the clips in a table",
                    path=clip,
                )
            facts = {name: text for name, text in found.groupdict().items() if text is not None}
        entries.append(Entry(clip=clip, facts=facts))
    return entries


def entry_of_source(source: VideoSource, name: str | None = None, **settings: Any) -> Entry:
    """Return the entry of a clip that is open.

    Parameters
    ----------
    source : VideoSource
        The clip. Where it has a file, that is opened anew when its turn comes. Where it has none,
        it is read by the batch, and must stay open until then; closing it is its owner's business.
    name : str, optional
        What to call it, and its result, where it has no file; its own name by default.
    **settings
        As `Entry` takes them.
    """
    if source.path is not None:
        return Entry(clip=source.path, **settings)
    safe = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", source.name if name is None else name)
    return Entry(clip=Path(safe.strip(" .") or "clip"), source=source, **settings)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ResultError(f"{pattern!r} is no regular expression ({error})") from error
    unknown = [name for name in compiled.groupindex if name in ("file", *SETTINGS)]
    if not compiled.groupindex or unknown:
        raise ResultError(
            f"the pattern {pattern!r} must name what it finds, such as (?P<subject>...); "
            f"{', '.join(['file', *SETTINGS])} cannot be named"
        )
    return compiled


def read_study(path: str | Path, pattern: str | None = None) -> list[Entry]:
    """Read a study table.

    Parameters
    ----------
    path : str or Path
        CSV (commas, semicolons or tabs, as its header has them) or XLSX with one header row.
        Only `file` is required: relative to the table's folder, or absolute. `FACTS` and
        `SETTINGS` are known, capitals and spaces as may be; other columns are carried through.
        Empty is "not said".
    pattern : str, optional
        As `entries_of_files` takes it; a column of the table stands above it.

    Raises
    ------
    ResultError
        If the table cannot be read; the message names row and column of what is wrong.
    MissingExtraError
        If it is XLSX and openpyxl is not installed.
    """
    path = Path(path)
    table = _read(path)
    names = [_known(name.strip()) for name in table[0]] if table else []
    if "file" not in names:
        raise ResultError(f"row 1 lacks the column file; it has {', '.join(names)}", path=path)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ResultError(f"row 1 has the column {twice[0]} twice", path=path)
    entries: list[Entry] = []
    problems: list[str] = []
    said = dict[Path, int]()
    for number, cells in enumerate(table[1:], start=2):
        if len(cells) > len(names):
            problems.append(f"row {number} has {len(cells)} cells, row 1 only {len(names)}")
            continue
        cells = [*cells, *[""] * (len(names) - len(cells))]
        row = {name: unguarded(cell).strip() for name, cell in zip(names, cells, strict=True)}
        if not any(row.values()):
            continue
        try:
            entry = _entry(row, path.parent, pattern)
        except (ValueError, DeepMTJError) as error:
            reason = error.message if isinstance(error, DeepMTJError) else str(error)
            problems.append(f"row {number}, {reason}")
            continue
        first = said.setdefault(entry.clip, number)
        if first != number:
            problems.append(f"row {number}, column file: {row['file']} is in row {first} already")
        entries.append(entry)
    if problems:
        more = f" (and {len(problems) - _TOLD} more)" if len(problems) > _TOLD else ""
        raise ResultError("; ".join(problems[:_TOLD]) + more, path=path)
    if not entries:
        raise ResultError("has no row with a clip", path=path)
    return entries


def _known(name: str) -> str:
    """Return the plain name of a known column ("External file"), others as they are."""
    plain = "_".join(name.lower().split())
    plain = "sync_offset_s" if plain == "sync_offset" else plain
    return plain if plain in ("file", *FACTS, *SETTINGS) else name


def _read(path: Path) -> list[list[str]]:
    """Return the cells of a table, its header among them."""
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            return _read_excel(path)
        data = path.read_bytes()
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # "Unicode text"
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except ImportError as error:
        raise MissingExtraError("an XLSX table", "excel") from error
    except (OSError, UnicodeDecodeError, ValueError, KeyError) as error:
        raise ResultError(
            f"cannot be read ({getattr(error, 'strerror', None) or error}); give a CSV in UTF-8 "
            "or an XLSX file",
            path=path,
        ) from error
    separator = max(",;\t", key=text.split("\n", 1)[0].count)
    try:
        return list(csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise ResultError(f"is no table ({error})", path=path) from error


def _read_excel(path: Path) -> list[list[str]]:
    import pandas as pd

    try:
        sheet = pd.read_excel(path, header=None, dtype=str, keep_default_na=False)
    except (OSError, ImportError, ValueError, KeyError):
        raise
    except Exception as error:  # of zipfile, zlib, the XML reader and openpyxl: damaged files
        raise ValueError(f"the file is damaged: {error}") from error
    rows: list[list[str]] = sheet.fillna("").to_numpy().tolist()
    return rows


def _entry(row: Mapping[str, str], folder: Path, pattern: str | None) -> Entry:
    if not row["file"]:
        raise ValueError("column file: is empty")
    clip = folder / row["file"].replace("\\", "/")
    facts = dict(entries_of_files([clip], pattern)[0].facts)
    facts |= {name: text for name, text in row.items() if name not in ("file", *SETTINGS) and text}
    said = {name: row[name] for name in SETTINGS if row.get(name)}
    parsed: dict[str, object] = {}
    for name, text in said.items():
        try:
            parsed[name] = _PARSERS[name](text)
        except (ValueError, DeepMTJError) as error:
            reason = error.message if isinstance(error, DeepMTJError) else str(error)
            raise ValueError(f"column {name}: {text!r} is not {reason}") from error
    if "external_file" in parsed:
        parsed["external_file"] = folder / said["external_file"].replace("\\", "/")
    return Entry(clip=clip, facts=facts, **parsed)  # type: ignore[arg-type]


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        raise ValueError("a number") from None


def _frame(text: str) -> int:
    # A spreadsheet makes 100 of "100.0", and keeps the zeros.
    whole = text.removesuffix(".0")
    if not (whole.isascii() and whole.isdigit()):
        raise ValueError("the number of a frame")
    return int(whole)


def _scale(text: str) -> Scale:
    """Read "0.0883" or, pixels not being square, "0.0883 x 0.0912"."""
    parts = text.lower().split("x")
    try:
        numbers = [_number(part.strip()) for part in parts]
        if len(numbers) > 2:
            raise ValueError  # noqa: TRY301
    except ValueError:
        raise ValueError("a scale in mm per pixel, such as 0.0883, or 0.0883 x 0.0912") from None
    try:
        return Scale(numbers[0], numbers[-1], TABLE)
    except CalibrationError as error:
        raise ValueError(f"a scale: {error.message}") from None


def _side(text: str) -> str:
    if text.lower() not in ("left", "right"):
        raise ValueError("left or right")
    return text.lower()


def _roi(text: str) -> str:
    if text in ("auto", "full") or text.removeprefix("preset:") in PRESETS:
        return text
    parts = re.split(r"[,; ]+", text)
    try:
        x, y, width, height = map(int, parts)
        Roi(x, y, width, height)
    except (ValueError, DeepMTJError):
        raise ValueError("auto, full, preset:NAME, or x,y,width,height") from None
    return ",".join(parts)


_PARSERS: dict[str, Callable[[str], object]] = {
    "roi": _roi,
    "scale": _scale,
    "distal_side": _side,
    "start": _frame,
    "stop": _frame,
    "model": str,
    "preset": str,
    "external_file": Path,
    "sync_offset_s": _number,
}


def columns_of(entries: Sequence[Entry]) -> list[str]:
    """Return the names of all facts: the known ones in their order, then others as they come."""
    there = dict.fromkeys(name for entry in entries for name in entry.facts)
    return [name for name in FACTS if name in there] + [n for n in there if n not in FACTS]
