"""Any of the foreign formats by its contents: what `napari-deepmtj labels` reads and writes with.

What a format means is its own module's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari_deepmtj.core.labels import LABEL_COLUMNS, Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats import Format, authors, images, sleap
from napari_deepmtj.labels.formats import deeplabcut as dlc
from napari_deepmtj.labels.formats.match import ClipIndex, Imported, Unmatched

__all__ = ["ClipIndex", "Imported", "Unmatched", "read", "recognise", "write"]


def recognise(path: str | Path) -> Format:
    """Return the format of a file by what is in it; `.slp` alone is known by its name.

    Raises
    ------
    LabelError
        If it cannot be read or is none of them.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except FileNotFoundError:
        raise LabelError("there is no such label file", path=path) from None
    except OSError as error:
        raise LabelError(f"cannot be read ({error.strerror or error})", path=path) from error
    if path.suffix.lower() == ".slp":
        return Format.SLEAP
    if start.startswith(b"\x89HDF"):
        return Format.DEEPLABCUT
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return Format.LABEL_STUDIO
    if text.startswith(b"{"):
        return Format.COCO
    if text.startswith(b"scorer,"):
        return Format.DEEPLABCUT
    first = text.splitlines()[0] if text else b""
    if all(column.encode() in first for column in LABEL_COLUMNS[:4]):
        raise LabelError("is a .mtj-labels.csv already and needs no import", path=path)
    return Format.AUTHORS


def read(
    path: str | Path,
    clips: ClipIndex | Iterable[str | Path],
    *,
    annotator: str | None = None,
    round: int = 1,  # noqa: A002 - the label's own word
    point: str | None = None,
    individual: str | None = None,
    empty: dlc.Empty = "not visible",
    min_likelihood: float = 0.0,
) -> Imported:
    """Read a label file of another program, recognised by `recognise`.

    Parameters are those of the formats' own `read`; what a format does not know is not used.

    Raises
    ------
    LabelError
        As those do, and if there is no annotator: only DeepLabCut's files name one.
    """
    form = recognise(path)
    if form is Format.DEEPLABCUT:
        return dlc.read(
            path,
            clips,
            annotator=annotator,
            round=round,
            point=point,
            individual=individual,
            empty=empty,
            min_likelihood=min_likelihood,
        )
    if annotator is None:
        raise LabelError("does not say whose labels these are; name the annotator", path=path)
    match form:
        case Format.SLEAP:
            return sleap.read(path, clips, annotator=annotator, round=round, point=point)
        case Format.COCO:
            return images.read_coco(path, clips, annotator=annotator, round=round, point=point)
        case Format.LABEL_STUDIO:
            return images.read_label_studio(
                path, clips, annotator=annotator, round=round, point=point, empty=empty
            )
    return authors.read(path, clips, annotator=annotator, round=round)


def write(
    path: str | Path,
    labels: Iterable[Label],
    form: Format,
    *,
    clips: ClipIndex | None = None,
    individual: str | None = None,
) -> tuple[str, ...]:
    """Write labels in a format and return what it could not hold.

    Parameters
    ----------
    path, labels
        As the formats' own `write` has them.
    form : Format
        Which one.
    clips : ClipIndex, optional
        The clips, where the format wants the size of their pictures or their length.
    individual : str, optional
        DeepLabCut: name of the animal, for a multi-animal project.
    """
    given: ClipIndex | tuple[()] = () if clips is None else clips
    match form:
        case Format.AUTHORS:
            return authors.write(path, labels)
        case Format.DEEPLABCUT:
            return dlc.write(path, labels, individual=individual, clips=clips)
        case Format.DEEPLABCUT_PREDICTIONS:
            return dlc.write_predictions(path, labels, individual=individual)
        case Format.SLEAP:
            return sleap.write(path, labels, given)
        case Format.COCO:
            return images.write_coco(path, labels, given)
        case Format.LABEL_STUDIO:
            return images.write_label_studio(path, labels, given)
