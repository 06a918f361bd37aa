"""Reading and writing `*.mtj-labels.csv`, one row a label. Formats of others do not live here.

The file is UTF-8 CSV with one header row, `core.labels.LABEL_COLUMNS`. x, y are empty where the
MTJ is not visible and time is empty where unknown; `visible` is "true" or "false".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from napari_deepmtj.core.labels import LABEL_COLUMNS, Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.io.atomic import atomic_write

SUFFIX = ".mtj-labels.csv"


def labels_path(clip: str | Path) -> Path:
    """Return where the labels of a clip lie: beside it, `<stem>.mtj-labels.csv`."""
    clip = Path(clip)
    return clip.with_name(clip.stem + SUFFIX)


def write_labels(path: str | Path, labels: Iterable[Label]) -> Path:
    """Write labels atomically, in the order given, and return the path.

    Numbers are written so that reading them gives back the same bits.

    Raises
    ------
    LabelError
        If two labels share clip, frame, annotator and round.
    """
    path = Path(path)
    labels = list(labels)
    keys = {label.key for label in labels}
    if len(keys) != len(labels):
        raise LabelError("two labels share clip, frame, annotator and round", path=path)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(LABEL_COLUMNS)
    writer.writerows([_cell(label, name) for name in LABEL_COLUMNS] for label in labels)
    atomic_write(path, text.getvalue().encode("utf-8"))
    return path


def read_labels(path: str | Path) -> list[Label]:
    """Read a label file.

    Raises
    ------
    LabelError
        If it cannot be read or anything in it is malformed; the message names the row as a
        spreadsheet counts (the header is row 1) and the column.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(csv.reader(file, strict=True), path)
    except FileNotFoundError:
        raise LabelError("there is no such label file", path=path) from None
    except UnicodeDecodeError as error:
        raise LabelError(f"not a UTF-8 text file ({error.reason})", path=path) from error
    except (csv.Error, OSError) as error:
        raise LabelError(f"cannot be read as CSV ({error})", path=path) from error


def _cell(label: Label, name: str) -> str:
    value = getattr(label, name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if name in {"time_s", "x_px", "y_px"} else str(value)


def _number(text: str) -> float | None:
    return float(text) if text else None


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


#: Column -> (reader, what it must be), for those that are not plain text.
_KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "frame": (int, "a whole number"),
    "time_s": (_number, "a number or empty"),
    "x_px": (_number, "a number or empty"),
    "y_px": (_number, "a number or empty"),
    "visible": (_truth, "true or false"),
    "round": (int, "a whole number"),
    "origin": (Origin, f"one of {', '.join(Origin)}"),
}


def _parse(rows: Iterable[list[str]], path: Path) -> list[Label]:
    """Turn the rows of a CSV, header first, into labels."""
    labels: list[Label] = []
    seen: dict[tuple[str, int, str, int], int] = {}
    header = None
    for number, row in enumerate(rows, start=1):
        if header is None:
            header = _checked_header(row, path)
            continue
        if not row:  # an empty line, as some editors leave at the end
            continue
        if len(row) != len(LABEL_COLUMNS):
            raise LabelError(
                f"row {number} has {len(row)} cells in place of {len(LABEL_COLUMNS)}", path=path
            )
        label = _label(dict(zip(header, row, strict=True)), number, path)
        first = seen.setdefault(label.key, number)
        if first != number:
            raise LabelError(
                f"row {number} labels frame {label.frame} by {label.annotator}, round "
                f"{label.round}, again (row {first} did); delete one",
                path=path,
            )
        labels.append(label)
    if header is None:
        raise LabelError("the file is empty; a label file starts with its header row", path=path)
    return labels


def _checked_header(row: list[str], path: Path) -> list[str]:
    """Return the header, in any order of columns, or say what is wrong with it."""
    if len(row) == 1 and ";" in row[0]:
        raise LabelError("cells are separated by semicolons; save with commas", path=path)
    missing = [name for name in LABEL_COLUMNS if name not in row]
    extra = [name for name in row if name not in LABEL_COLUMNS]
    if missing or extra or len(row) != len(LABEL_COLUMNS):
        said = [f"lacks {', '.join(missing)}"] * bool(missing)
        said += [f"has {', '.join(map(repr, extra))} too many"] * bool(extra)
        raise LabelError(
            f"the header (row 1) {' and '.join(said) or 'repeats a column'}", path=path
        )
    return row


def _label(cells: dict[str, str], number: int, path: Path) -> Label:
    """Make the label of one row."""
    values: dict[str, Any] = dict(cells)
    for name, (read, kind) in _KINDS.items():
        try:
            values[name] = read(cells[name])
        except (ValueError, KeyError):
            raise LabelError(
                f"row {number}, column {name}: {cells[name]!r} is not {kind}", path=path
            ) from None
    visible = values.pop("visible")
    try:
        label = Label(**values)
    except LabelError as error:
        raise LabelError(f"row {number}: {error.message}", path=path) from error
    if label.visible != visible:
        wanted = "a position" if visible else "no position"
        raise LabelError(
            f"row {number}, column visible: {cells['visible']} needs {wanted} in x_px and y_px",
            path=path,
        )
    return label
