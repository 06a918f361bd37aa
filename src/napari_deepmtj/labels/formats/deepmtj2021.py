"""The published test set of P21 (doi:10.6084/m9.figshare.16822978): single pictures, one table.

Known from its authors: 1344 pictures, one position each (the mean of four specialists). How the
files are named and the table laid out is known at second hand only; so several layouts are read,
and whatever is not clear is refused.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from napari_deepmtj.errors import LabelError

#: Number of pictures that the authors give.
PUBLISHED_PICTURES = 1344

_PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"}
_X = re.compile(r"(mean_?|mtj_?)?x(_?(mean|px|pixel|pos|coord|coordinate|position))?")
_NAME = re.compile(r".*(file|image|img|picture|name|frame).*")


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture and where the MTJ is in it.

    Parameters
    ----------
    path : Path
    x_px, y_px : float or None
        In pixels of that picture, as the table has them; both None where the cells are empty.
    """

    path: Path
    x_px: float | None
    y_px: float | None


@dataclass(frozen=True, slots=True)
class TestSet:
    """What was found in the folder.

    Parameters
    ----------
    pictures : tuple of LabelledPicture
        In the order of the table.
    table : Path
    notices : tuple of str
        What a person must be told.
    """

    __test__ = False  # no test, for pytest

    pictures: tuple[LabelledPicture, ...]
    table: Path
    notices: tuple[str, ...]


def read_test_set(folder: str | Path) -> TestSet:
    """Read the unpacked test set.

    Parameters
    ----------
    folder : str or Path
        It holds one `.csv` and the pictures, in folders of any depth. Where the same names are in
        several folders (the set has two resolutions), the largest pictures that hold all labels
        are meant.

    Raises
    ------
    LabelError
        If there is not just one table, its columns are unknown, a row belongs to no picture or to
        several, or a position lies outside.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LabelError("is no folder; unpack the test set and give its folder", path=folder)
    tables = sorted(p for p in folder.rglob("*") if p.suffix.lower() == ".csv" and p.is_file())
    if len(tables) != 1:
        names = ", ".join(table.name for table in tables) or "none"
        raise LabelError(f"must hold one table of labels (.csv), and has: {names}", path=folder)
    (table,) = tables
    rows = list(_rows(table))
    if not rows:
        raise LabelError("has no row with a label", path=table)
    found = _by_folder(folder)
    candidates = {where: _matched(rows, there) for where, there in found.items()}
    whole = {where: got for where, got in candidates.items() if len(got) == len(rows)}
    if not whole:
        best = max(candidates.values(), key=len, default={})
        missing = next((name for number, name, _ in rows if number not in best), rows[0][1])
        raise LabelError(
            f"{len(rows) - len(best)} of {len(rows)} rows name no picture in one of the folders, "
            f"the first is {missing!r}",
            path=table,
        )
    where, paths = max(whole.items(), key=lambda item: _pixels(next(iter(item[1].values()))))
    pictures = tuple(_placed(paths[number], xy, number, table) for number, _, xy in rows)
    return TestSet(pictures, table, tuple(_notices(pictures, len(found[where]), len(whole))))


def _notices(pictures: Sequence[LabelledPicture], there: int, folders: int) -> Iterator[str]:
    if len(pictures) != PUBLISHED_PICTURES:
        yield f"{len(pictures)} labelled pictures, where the published set has {PUBLISHED_PICTURES}"
    if there > len(pictures):
        yield f"{there - len(pictures)} pictures have no label and are left out"
    if folders > 1:
        yield f"the pictures in {pictures[0].path.parent.name} are used, the largest that fit"
    if any("annotated" in picture.path.stem.lower() for picture in pictures):
        yield (
            "names of pictures say 'annotated': look at one; if marks are drawn into the pictures, "
            "no figure measured on them means anything"
        )


def _by_folder(folder: Path) -> dict[Path, list[Path]]:
    found: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _PICTURES and path.is_file() and not path.name.startswith("."):
            found.setdefault(path.parent, []).append(path)
    return found


Row = tuple[int, str, tuple[float, float] | None]


def _matched(rows: Sequence[Row], paths: Sequence[Path]) -> dict[int, Path]:
    """Return the picture of each row, by number of row; rows that are not clear have none."""
    by_stem: dict[str, list[Path]] = {}
    for path in paths:
        by_stem.setdefault(path.stem.casefold(), []).append(path)
    matched = {}
    for number, name, _ in rows:
        last = PurePosixPath(name.replace("\\", "/")).name
        stem = last[: -len(suffix)] if (suffix := Path(last).suffix).lower() in _PICTURES else last
        meant = by_stem.get(stem.casefold(), [])
        if len(meant) == 1:
            matched[number] = meant[0]
    return matched if len(set(matched.values())) == len(matched) else {}


def _placed(
    path: Path, xy: tuple[float, float] | None, number: int, table: Path
) -> LabelledPicture:
    if xy is None:
        return LabelledPicture(path, None, None)
    height, width = _size(path)
    if not (-0.5 <= xy[0] < width + 0.5 and -0.5 <= xy[1] < height + 0.5):
        raise LabelError(
            f"row {number}: ({xy[0]:g}, {xy[1]:g}) is not in {path.name} of {width} x {height} px; "
            "its positions may be of other pictures",
            path=table,
        )
    return LabelledPicture(path, *xy)


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise LabelError(f"cannot be read as a picture ({error})", path=path) from error


def _pixels(path: Path) -> int:
    height, width = _size(path)
    return height * width


# ----- the table --------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Row]:
    """Yield number, name and position of each row; numbers count from 1, the header included."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"cannot be read as UTF-8 text ({error})", path=path) from error
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    cells = [
        (number, [cell.strip() for cell in row])
        for number, row in enumerate(csv.reader(lines, delimiter=delimiter), start=1)
        if any(cell.strip() for cell in row)
    ]
    if not cells:
        raise LabelError("the file is empty", path=path)
    columns = _columns(cells[0][1])
    if columns is None:
        if len(cells[0][1]) != 3 or _number(cells[0][1][1]) is None:
            raise LabelError(
                f"its columns are not known: {', '.join(cells[0][1])}; it must have one with the "
                "name of the picture (file, image ...), x and y, or just these three and no header",
                path=path,
            )
        columns = {"name": 0, "x": 1, "y": 2}
    else:
        cells = cells[1:]
    for number, row in cells:
        if len(row) <= max(columns.values()):
            raise LabelError(f"row {number} has {len(row)} cells", path=path)
        x, y = row[columns["x"]], row[columns["y"]]
        if not x and not y:
            yield number, row[columns["name"]], None
            continue
        values = _number(x), _number(y)
        if values[0] is None or values[1] is None:
            raise LabelError(f"row {number}: ({x!r}, {y!r}) is no position", path=path)
        yield number, row[columns["name"]], (values[0], values[1])


def _columns(header: Sequence[str]) -> Mapping[str, int] | None:
    """Return which cells are meant by a header; None if it is none, or not clear."""
    names = [cell.lower().replace(" ", "_") for cell in header]
    found = {
        "x": [i for i, name in enumerate(names) if _X.fullmatch(name)],
        "y": [i for i, name in enumerate(names) if _X.fullmatch(name.replace("y", "x"))],
        "name": [i for i, name in enumerate(names) if _NAME.fullmatch(name)],
    }
    found["y"] = [i for i in found["y"] if i not in found["x"]]
    if any(len(places) != 1 for places in found.values()):
        return None
    return {name: places[0] for name, places in found.items()}


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
