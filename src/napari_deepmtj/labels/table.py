"""Reading and writing `*.mtj-labels.csv`, one row a label. Formats of others do not live here.

The file is UTF-8 CSV with one header row, `core.labels.LABEL_COLUMNS`. x, y are empty where the
MTJ is not visible and time is empty where unknown; `visible` is "true" or "false". Text that a
spreadsheet would take for a formula is kept from it by an apostrophe (`guarded`).
"""

from __future__ import annotations

import csv
import io
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.labels import LABEL_COLUMNS, Label, LabelKey
from napari_deepmtj.core.paths import clip_stem
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError

SUFFIX = ".mtj-labels.csv"

#: What a spreadsheet may take for the start of a formula: `= + - @`, also wide ones and after
#: spaces, where a cell may begin: at the start and, where another separator is in use, after it.
#: So too white space at the start, which spreadsheets strip. Before it stand the apostrophes.
_FORMULA = re.compile(r"(^'*(?=[\t\r\n])|(?:^|[;\t\r\n])'*(?=[ \xa0]*[=+\-@＝＋－＠]))")


def labels_path(clip: str | Path) -> Path:
    """Return where the labels of a clip lie: beside it, `<stem>.mtj-labels.csv`."""
    clip = Path(clip)
    return clip.with_name(clip_stem(clip) + SUFFIX)


def guarded(text: str) -> str:
    """Return the text with one apostrophe more wherever a spreadsheet may see a formula.

    `unguarded` takes it away again, and only that one, so that every text comes back as it was.
    """
    return _FORMULA.sub(r"\1'", text)


def unguarded(text: str) -> str:
    """Return the text that `guarded` was given."""
    return _FORMULA.sub(lambda match: match[1].removesuffix("'"), text)


def write_labels(path: str | Path, labels: Iterable[Label]) -> Path:
    """Write labels atomically, in the order given, and return the path.

    Numbers are written so that reading them gives back the same bits.

    Raises
    ------
    LabelError
        If two labels share clip, frame, annotator and round.
    ResultError
        If the file cannot be written.
    """
    path = Path(path)
    labels = list(labels)
    keys = {label.key for label in labels}
    if len(keys) != len(labels):
        raise LabelError("two labels share clip, frame, annotator and round", path=path)
    return atomic_write(path, label_bytes(labels))


def label_bytes(labels: Iterable[Label]) -> bytes:
    """Return the content of a label file."""
    texts: dict[str, str] = {}  # few and much repeated
    lines = [",".join(LABEL_COLUMNS)]
    lines += [",".join(_cells(label, texts)) for label in labels]
    return ("\n".join(lines) + "\n").encode()


def read_labels(path: str | Path, *, n_frames: Mapping[str, int] | None = None) -> list[Label]:
    """Read a label file.

    Parameters
    ----------
    path : str or Path
        The file.
    n_frames : mapping, optional
        SHA-256 of a clip -> how many frames it has, for those that are known.

    Raises
    ------
    LabelError
        If it cannot be read or anything in it is malformed, or a label lies beyond the end of its
        clip; the message names the row as a spreadsheet counts (the header is row 1) and the
        column.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return parse_labels(file, path, n_frames=n_frames)
    except FileNotFoundError:
        raise LabelError("there is no such label file", path=path) from None
    except OSError as error:
        raise LabelError(f"cannot be read ({error.strerror or error})", path=path) from error


def parse_labels(
    file: BinaryIO, path: Path, *, n_frames: Mapping[str, int] | None = None
) -> list[Label]:
    """Read labels from an open binary file, as `read_labels` does; `path` is for messages."""
    _check_kind(file.read(4096), path)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    rows = csv.reader(text, strict=True)
    try:
        return _parse(rows, path, n_frames or {})
    except UnicodeDecodeError as error:
        raise LabelError(
            f'line {_undecodable(file)} is not UTF-8 text ({error.reason}); save it as "CSV UTF-8"',
            path=path,
        ) from error
    except csv.Error as error:
        raise LabelError(
            f"cannot be read as CSV (line {rows.line_num}: {error})", path=path
        ) from error
    finally:
        text.detach()


def _check_kind(head: bytes, path: Path) -> None:
    """Refuse at once what is no text with commas."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise LabelError('is UTF-16 text, not UTF-8; save it as "CSV UTF-8"', path=path)
    if b"\0" in head:
        raise LabelError("is not a UTF-8 text file", path=path)
    first = re.split(rb"[\r\n]", head, maxsplit=1)[0]
    if b"," not in first:
        for separator, name in ((b";", "semicolons"), (b"\t", "tabs")):
            if separator in first:
                raise LabelError(
                    f"cells are separated by {name}; save with commas and decimal points",
                    path=path,
                )


def _undecodable(file: BinaryIO) -> int:
    """Return the number of the first line that is not UTF-8, from 1."""
    file.seek(0)
    for number, line in enumerate(file, start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    raise AssertionError("every line is UTF-8")


def _cells(label: Label, texts: dict[str, str]) -> list[str]:
    """Return the cells of one row, in the order of `LABEL_COLUMNS`."""
    for text in (label.clip, label.clip_sha256, label.annotator):
        if text not in texts:
            texts[text] = _quoted(guarded(text))
    time, x, y = (
        "" if value is None else repr(value) for value in (label.time_s, label.x_px, label.y_px)
    )
    return [
        texts[label.clip],
        texts[label.clip_sha256],
        str(label.frame),
        time,
        x,
        y,
        "true" if label.visible else "false",
        texts[label.annotator],
        str(label.round),
        label.origin,
        _quoted(label.timestamp),
    ]


def _quoted(text: str) -> str:
    """Return the text in quotes if a cell needs them."""
    if any(c in text for c in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _number(text: str) -> float | None:
    if not text:
        return None
    return float(_plain(text))


def _whole(text: str) -> int:
    return int(_plain(text))


def _plain(text: str) -> str:
    """Refuse what Python takes for a number but a spreadsheet does not."""
    if "_" in text or not text.isascii():
        raise ValueError
    return text


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_ORIGINS = {str(origin): origin for origin in Origin}

#: Column -> (reader, what it must be), for those that are not plain text.
_KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "frame": (_whole, "a whole number"),
    "time_s": (_number, "a number or empty"),
    "x_px": (_number, "a number or empty"),
    "y_px": (_number, "a number or empty"),
    "visible": (_truth, "true or false"),
    "round": (_whole, "a whole number"),
    "origin": (_ORIGINS.__getitem__, f"one of {', '.join(Origin)}"),
}


def _parse(rows: Iterable[list[str]], path: Path, n_frames: Mapping[str, int]) -> list[Label]:
    """Turn the rows of a CSV, header first, into labels."""
    labels: list[Label] = []
    seen: dict[LabelKey, int] = {}
    texts: dict[str, str] = {}  # few and much repeated: one object of each
    header = None
    for number, row in enumerate(rows, start=1):
        if header is None:
            header = _checked_header(row, path)
            pick = operator.itemgetter(*(header.index(name) for name in LABEL_COLUMNS))
            continue
        if not row:  # an empty line, as some editors leave at the end
            continue
        if len(row) != len(LABEL_COLUMNS):
            hint = "; numbers need a decimal point" if len(row) > len(LABEL_COLUMNS) else ""
            raise LabelError(
                f"row {number} has {len(row)} cells in place of {len(LABEL_COLUMNS)}{hint}",
                path=path,
            )
        label = _label(pick(row), number, path, texts)
        first = seen.setdefault(label.key, number)
        if first != number:
            raise LabelError(
                f"row {number} labels frame {label.frame} by {label.annotator}, round "
                f"{label.round}, again (row {first} did); delete one",
                path=path,
            )
        end = n_frames.get(label.clip_sha256)
        if end is not None and label.frame >= end:
            raise LabelError(
                f"row {number}: frame {label.frame} is beyond the end of {label.clip}, whose "
                f"last frame is {end - 1}",
                path=path,
            )
        labels.append(label)
    if header is None:
        raise LabelError("the file is empty; a label file starts with its header row", path=path)
    return labels


def _checked_header(row: list[str], path: Path) -> list[str]:
    """Return the header, in any order of columns, or say what is wrong with it."""
    missing = [name for name in LABEL_COLUMNS if name not in row]
    extra = [name for name in row if name not in LABEL_COLUMNS]
    if missing or extra or len(row) != len(LABEL_COLUMNS):
        said = [f"lacks {', '.join(missing)}"] * bool(missing)
        said += [f"has {', '.join(map(repr, extra))} too many"] * bool(extra)
        raise LabelError(
            f"the header (row 1) {' and '.join(said) or 'repeats a column'}", path=path
        )
    return row


def _label(cells: Sequence[str], number: int, path: Path, texts: dict[str, str]) -> Label:
    """Make the label of one row, its cells in the order of `LABEL_COLUMNS`."""
    clip, sha256, frame, time, x, y, visible, annotator, round_, origin, timestamp = cells
    for text in (clip, sha256, annotator):
        if text not in texts:
            texts[text] = unguarded(text)
    try:
        is_visible = _truth(visible)
        label = Label(
            clip=texts[clip],
            clip_sha256=texts[sha256],
            frame=_whole(frame),
            time_s=_number(time),
            x_px=_number(x),
            y_px=_number(y),
            annotator=texts[annotator],
            round=_whole(round_),
            origin=_ORIGINS[origin],
            timestamp=timestamp,
        )
    except (ValueError, KeyError):
        raise _bad_cell(dict(zip(LABEL_COLUMNS, cells, strict=True)), number, path) from None
    except LabelError as error:
        raise LabelError(f"row {number}: {error.message}", path=path) from error
    if label.visible != is_visible:
        wanted = "a position" if is_visible else "no position"
        raise LabelError(
            f"row {number}, column visible: {visible} needs {wanted} in x_px and y_px", path=path
        )
    return label


def _bad_cell(cells: Mapping[str, str], number: int, path: Path) -> LabelError:
    """Return what is wrong with the first cell of a row that cannot be read."""
    for name, (read, kind) in _KINDS.items():
        try:
            read(cells[name])
        except (ValueError, KeyError):
            hint = "; use a decimal point" if "number" in kind and "," in cells[name] else ""
            return LabelError(
                f"row {number}, column {name}: {_shown(cells[name])} is not {kind}{hint}",
                path=path,
            )
    raise AssertionError("every cell can be read")


def _shown(text: str) -> str:
    """Return the text in quotes, short enough for one line."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
