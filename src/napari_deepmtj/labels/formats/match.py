"""From rows of a foreign label file to labels of clips that are really there; nothing is guessed.

Readers produce `Found` rows; what has no clip, more than one, no such frame or a position outside
the picture is listed as `Unmatched`, never dropped and never moved.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_deepmtj.core.labels import Label, now
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import DeepMTJError, LabelError
from napari_deepmtj.video.opening import open_video

#: Endings by which clips are found in a folder; other clips are given by their own path.
CLIP_SUFFIXES = frozenset(
    {".avi", ".mp4", ".mov", ".mkv", ".wmv", ".m4v", ".webm", ".mpg", ".mpeg", ".ts"}
    | {".gif", ".tif", ".tiff", ".dcm", ".npy"}
)


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A row that became no label.

    Parameters
    ----------
    row : int
        As a spreadsheet counts; in files that are no text, the number of the entry from 1.
    name : str
        What the file calls the clip or the picture.
    reason : str
        Why there is no label.
    """

    row: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a foreign label file.

    Parameters
    ----------
    labels : tuple of Label
        In the order of the file.
    unmatched : tuple of Unmatched
        Rows that became none.
    notices : tuple of str
        What a person must be told about the rest.
    """

    labels: tuple[Label, ...]
    unmatched: tuple[Unmatched, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One row of a foreign file: a frame of a clip, and where the MTJ is in it.

    Parameters
    ----------
    row : int
        As in `Unmatched`.
    name : str
        What the file calls the clip, with or without its extension; "" for the one clip given.
    frame : int
        From 0.
    xy_px : (x, y) or None
        In frame pixels; None where the MTJ is not visible.
    origin : Origin
        Who set it.
    size : (height, width) or None
        Of the picture that the position was set in, in px, where the file says it.
    """

    row: int
    name: str
    frame: int
    xy_px: tuple[float, float] | None
    origin: Origin = Origin.MANUAL
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a label needs to know of its clip."""

    name: str
    sha256: str
    n_frames: int
    height: int
    width: int
    seconds: Sequence[float] | None


class _NoClip(Exception):  # noqa: N818 - an answer, not an error; it never leaves this file
    """Why a name leads to no clip."""


@dataclass
class ClipIndex:
    """The clips that a foreign file may speak of, by their names; opened only when matched.

    Parameters
    ----------
    paths : iterable of str or Path
        Clips, and folders that are searched for files with `CLIP_SUFFIXES`, subfolders included.

    Raises
    ------
    LabelError
        If a path does not exist.
    """

    paths: Iterable[str | Path]
    one_file: bool = field(init=False, default=False)  # one clip was given, and no folder
    _clips: tuple[Path, ...] = field(init=False)
    _opened: dict[Path, Facts | DeepMTJError] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        found: dict[Path, Path] = {}
        given = [Path(path) for path in self.paths]
        self.one_file = len(given) == 1 and not given[0].is_dir()
        for path in given:
            if not path.exists():
                raise LabelError("there is no such clip or folder", path=path)
            for clip in _clips_in(path):
                found.setdefault(clip.resolve(), clip)
        self._clips = tuple(found.values())

    def find(self, name: str) -> Path:
        """Return the one clip that a name means, as a whole or without the clip's extension.

        Capitals count only where they decide; forms of one Unicode text are the same.
        """
        if not name and self.one_file:
            return self._clips[0]
        name = _same(name)
        names = [(clip, _same(clip.name), _same(clip.stem)) for clip in self._clips]
        whole = [clip for clip, said, _ in names if said == name] or [
            clip for clip, said, _ in names if said.casefold() == name.casefold()
        ]
        stem = [clip for clip, _, said in names if said == name] or [
            clip for clip, _, said in names if said.casefold() == name.casefold()
        ]
        clips = list(dict.fromkeys(whole + stem))  # "a.avi" may be a.avi, and also a.avi.mp4
        if not clips:
            raise _NoClip("no clip of this name was given")
        if len(clips) > 1:
            said = ", ".join("/".join(clip.parts[-2:]) for clip in clips[:3])
            raise _NoClip(f"{len(clips)} clips go by this name ({said})")
        return clips[0]

    def facts(self, clip: Path) -> Facts:
        """Open a clip, once, and return what a label needs of it."""
        if clip not in self._opened:
            try:
                with open_video(clip) as source:
                    times = source.times
                    self._opened[clip] = Facts(
                        source.name,
                        source.sha256,
                        source.n_frames,
                        source.height,
                        source.width,
                        [float(t) for t in times.seconds] if times.known else None,
                    )
            except DeepMTJError as error:
                self._opened[clip] = error
        opened = self._opened[clip]
        if isinstance(opened, DeepMTJError):
            raise _NoClip(f"its clip cannot be opened ({opened})")
        return opened


def match(
    rows: Iterable[Found | Unmatched],
    clips: ClipIndex | Iterable[str | Path],
    *,
    path: str | Path,
    annotator: str,
    round: int = 1,  # noqa: A002 - the label's own word
    notices: Iterable[str] = (),
) -> Imported:
    """Turn rows into labels of the clips given.

    Raises
    ------
    LabelError
        If two rows label the same frame, or annotator or round are impossible.
    """
    index = clips if isinstance(clips, ClipIndex) else ClipIndex(clips)
    labels: list[Label] = []
    unmatched: list[Unmatched] = []
    first: dict[tuple[Path, int], int] = {}
    when = now()
    for found in rows:
        if isinstance(found, Unmatched):
            unmatched.append(found)
            continue
        try:
            clip = index.find(found.name)
            facts = index.facts(clip)
            _check_place(found, facts)
        except _NoClip as why:
            unmatched.append(Unmatched(found.row, found.name or Path(path).name, str(why)))
            continue
        earlier = first.setdefault((clip, found.frame), found.row)
        if earlier != found.row:
            raise LabelError(
                f"row {found.row} labels frame {found.frame} of {facts.name} again (row {earlier} "
                "did); delete one",
                path=path,
            )
        try:
            labels.append(_label(found, facts, annotator, round, when))
        except LabelError as error:
            raise LabelError(f"row {found.row}: {error.message}", path=path) from error
    return Imported(tuple(labels), tuple(unmatched), tuple(notices))


def one_a_frame(labels: Iterable[Label], what: str) -> list[Label]:
    """Return labels by clip and frame, which is all that most formats can hold.

    Raises
    ------
    LabelError
        If there is none, a frame has several, or two clips share a name.
    """
    labels = sorted(labels, key=lambda label: (label.clip, label.frame))
    if not labels:
        raise LabelError(f"there are no labels to write as {what}")
    hashes: dict[str, str] = {}
    seen: set[tuple[str, int]] = set()
    for label in labels:
        if hashes.setdefault(label.clip, label.clip_sha256) != label.clip_sha256:
            raise LabelError(
                f"two clips are called {label.clip}, which {what} cannot tell apart; rename one"
            )
        if (label.clip, label.frame) in seen:
            raise LabelError(
                f"{label.clip} has labels of several annotators or rounds and {what} holds one "
                "a frame; choose an annotator and a round",
                frame=label.frame,
            )
        seen.add((label.clip, label.frame))
    return labels


def stems(labels: Iterable[Label], what: str) -> dict[str, str]:
    """Return clip -> its name without extension, for formats that know no more.

    Raises
    ------
    LabelError
        If two clips differ in their extension only.
    """
    names: dict[str, str] = {}
    for label in labels:
        stem = Path(label.clip).stem
        other = names.setdefault(stem, label.clip)
        if other != label.clip:
            raise LabelError(
                f"{other} and {label.clip} differ in their extension only, which {what} leaves "
                "out; write them to two files"
            )
    return {clip: stem for stem, clip in names.items()}


def sizes(
    labels: Iterable[Label], clips: ClipIndex | Iterable[str | Path]
) -> dict[str, tuple[int, int]]:
    """Return clip -> height and width in px, as `facts_of` finds them."""
    return {clip: (facts.height, facts.width) for clip, facts in facts_of(labels, clips).items()}


def facts_of(labels: Iterable[Label], clips: ClipIndex | Iterable[str | Path]) -> dict[str, Facts]:
    """Return what is to be known of the clips whose contents are those labelled, by name.

    Raises
    ------
    LabelError
        If a clip is not among those given, or has other contents.
    """
    index = clips if isinstance(clips, ClipIndex) else ClipIndex(clips)
    found: dict[str, Facts] = {}
    for label in labels:
        if label.clip in found:
            continue
        try:
            facts = index.facts(index.find(label.clip))
        except _NoClip as why:
            raise LabelError(f"{why}; its size is needed", path=label.clip) from None
        if facts.sha256 != label.clip_sha256:
            raise LabelError(
                "the labels belong to another file of this name; its contents differ",
                path=label.clip,
            )
        found[label.clip] = facts
    return found


def picture_place(picture: str) -> tuple[str, int] | None:
    """Return clip and frame that a picture's path means, None if it means none.

    Frames count from 0. `folder/img005.png` is frame 5 of the clip `folder` (DeepLabCut);
    `NAME_frame_000005.png` and `NAME_00005.png` are frame 5 of NAME.
    """
    parts = [part for part in re.split(r"[/\\]", picture) if part]
    if not parts:
        return None
    stem = re.sub(r"\.[A-Za-z]+$", "", parts[-1])
    if named := re.fullmatch(r"(.+)_frame_([0-9]{1,9})", stem, re.DOTALL):
        return named[1], int(named[2])
    if len(parts) > 1 and (plain := re.fullmatch(r"(?:img|frame)?_?([0-9]{1,9})", stem)):
        return parts[-2], int(plain[1])
    if numbered := re.fullmatch(r"(.+)_([0-9]{3,9})", stem, re.DOTALL):
        return numbered[1], int(numbered[2])
    return None


def base_name(path: str) -> str:
    """Return the last part of a path of any operating system."""
    return re.split(r"[/\\]", path)[-1]


def _clips_in(path: Path) -> Iterator[Path]:
    if not path.is_dir() or path.suffix == ".zarr":
        yield path
        return
    for inside in sorted(path.rglob("*")):
        suffix = inside.suffix.lower()
        known = suffix in CLIP_SUFFIXES or inside.name.lower().endswith(".tvd.h5")
        if known and not inside.name.startswith(".") and inside.is_file():
            yield inside


def _label(found: Found, facts: Facts, annotator: str, number: int, when: str) -> Label:
    x, y = (None, None) if found.xy_px is None else found.xy_px
    return Label(
        clip=facts.name,
        clip_sha256=facts.sha256,
        frame=found.frame,
        time_s=None if facts.seconds is None else facts.seconds[found.frame],
        x_px=x,
        y_px=y,
        annotator=annotator,
        round=number,
        origin=found.origin,
        timestamp=when,
    )


def _same(name: str) -> str:
    """Return one form of a text that file systems write in several ways."""
    return unicodedata.normalize("NFC", name)


def _check_place(found: Found, facts: Facts) -> None:
    if not 0 <= found.frame < facts.n_frames:
        raise _NoClip(
            f"frame {found.frame} is beyond the clip's {facts.n_frames} frames, 0 to "
            f"{facts.n_frames - 1}"
        )
    if found.size is not None and found.size != (facts.height, facts.width):
        height, width = found.size
        raise _NoClip(
            f"its picture has {width} x {height} px, the clip {facts.width} x {facts.height}"
        )
    if found.xy_px is not None:
        x, y = found.xy_px
        if not (-0.5 <= x <= facts.width - 0.5 and -0.5 <= y <= facts.height - 0.5):
            raise _NoClip(
                f"({x:g}, {y:g}) lies outside the picture of {facts.width} x {facts.height} px"
            )
