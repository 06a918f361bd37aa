"""The phantom cohort: made-up subjects in the numbers of P20's Tables I and II.

P20 (Leitner et al., EMBC 2020, doi:10.1109/EMBC44109.2020.9176145) recorded 107 subjects. Here
is who the made-up ones are, which clips they have, which frames of these are annotated, and which
split each belongs to. Nothing is drawn here: a frame costs its time when it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from napari_deepmtj.core.jobs import Done, Failed, Progress
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.phantom.cohort import PhantomClip, write_clip
from napari_deepmtj.phantom.motion import Movement
from napari_deepmtj.phantom.traits import TYPICAL, Traits, impaired

#: Seed of the cohort that is reported. Recipes train on other seeds, `evaluate --phantom` draws
#: from 1000, and the demonstration is 2045.
STUDY_SEED = 5107


class Group(StrEnum):
    """Who a subject stands for."""

    HEALTHY = "healthy"
    IMPAIRED = "impaired"


class Part(StrEnum):
    """What a clip is used for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Design:
    """How many of everything; the defaults are P20's.

    Videos and frames are shared out as evenly as they go. P20's own numbers give 8.2 to 9.0
    frames a video, not the 10 of its text.

    Parameters
    ----------
    healthy, impaired : int
        Subjects of the two groups.
    test_subjects : int
        Of all of them; both groups are in it in proportion.
    test_videos, other_videos : int
        Videos of the test subjects and of the others, half passive ROM, half MVC.
    train_frames, validation_frames, test_frames : int
        Annotated frames.
    validation : float
        Share of the other subjects' videos, whoever's, that validate.
    n_frames : int
        Frames of a video: 15 s at 25 Hz.
    """

    healthy: int = 79
    impaired: int = 28
    test_subjects: int = 12
    test_videos: int = 127
    other_videos: int = 979
    train_frames: int = 7200
    validation_frames: int = 800
    test_frames: int = 1147
    validation: float = 0.10
    n_frames: int = 375

    @property
    def subjects(self) -> int:
        """Subjects of both groups."""
        return self.healthy + self.impaired


@dataclass(frozen=True)
class StudyClip:
    """One video of the cohort, not drawn yet.

    Parameters
    ----------
    subject : str
        "H01" and on are healthy, "I01" and on impaired-like.
    group : Group
        Which of them.
    index : int
        Number of the clip among the subject's; its movement follows.
    split : Part
        What it is used for: "train", "validation" or "test".
    frames : tuple of int
        Those that are annotated, in order.
    subject_seed : int
        From which the subject follows.
    traits : Traits
        In what the subject differs from a typical one.
    n_frames : int
        Length of the clip.
    """

    subject: str
    group: Group
    index: int
    split: Part
    frames: tuple[int, ...]
    subject_seed: int
    traits: Traits
    n_frames: int

    @property
    def movement(self) -> Movement:
        """Passive ROM if the clip's number is even, MVC if odd."""
        return list(Movement)[self.index % len(Movement)]

    @property
    def name(self) -> str:
        """Name of the clip, no two alike in a cohort: "H01_passive-rom_1"."""
        return f"{self.subject}_{self.movement.value}_{self.index + 1}"

    def source(self) -> PhantomClip:
        """Return the clip, which draws a frame when it is read."""
        clip = PhantomClip(self.subject_seed, self.index, self.n_frames, traits=self.traits)
        clip.name = self.name
        return clip

    def labels(self) -> list[Label]:
        """Return the truth of the annotated frames."""
        clip = self.source()
        every = clip.labels(clip.name, clip.sha256)
        return [every[frame] for frame in self.frames]


@dataclass(frozen=True)
class Study:
    """A cohort.

    Parameters
    ----------
    seed : int
        From which everything follows.
    design : Design
        How many of everything.
    clips : tuple of StudyClip
        All videos, a subject's together.
    """

    seed: int
    design: Design
    clips: tuple[StudyClip, ...]

    def of(self, part: Part | str) -> tuple[StudyClip, ...]:
        """Return the clips of one split."""
        return tuple(clip for clip in self.clips if clip.split == part)

    def some(self, part: Part | str, n_subjects: int, n_videos: int) -> tuple[StudyClip, ...]:
        """Return the first clips of some subjects of a split, of both groups as far as they go.

        Subjects are taken evenly from all of them, of whom the healthy come first.
        """
        clips = self.of(part)
        names = list(dict.fromkeys(clip.subject for clip in clips))
        n_subjects = min(n_subjects, len(names))
        chosen = {names[(2 * i + 1) * len(names) // (2 * n_subjects)] for i in range(n_subjects)}
        seen: Counter[str] = Counter()
        found = []
        for clip in clips:
            if clip.subject in chosen and seen[clip.subject] < n_videos:
                seen[clip.subject] += 1
                found.append(clip)
        return tuple(found)


def study(seed: int = STUDY_SEED, design: Design | None = None) -> Study:
    """Return the cohort of a seed.

    Test is split off by subject, validation from training by video, as P20 did: a subject's
    videos may lie in both of the latter.

    Raises
    ------
    DeepMTJError
        If the numbers do not fit together.
    """
    design = design or Design()
    n_validation = round(design.validation * design.other_videos)
    _check(design, n_validation)
    rng = np.random.default_rng(seed)
    seeds = np.random.SeedSequence(seed).generate_state(design.subjects, dtype=np.uint32)
    groups = [Group.HEALTHY] * design.healthy + [Group.IMPAIRED] * design.impaired
    tested = _tested(design, rng)
    others = design.subjects - len(tested)
    videos = {
        True: iter(_shared(design.test_videos, len(tested), rng)),
        False: iter(_shared(design.other_videos, others, rng)),
    }
    validating = set(rng.permutation(design.other_videos)[:n_validation].tolist())
    counts = {
        Part.TRAIN: iter(_shared(design.train_frames, design.other_videos - n_validation, rng)),
        Part.VALIDATION: iter(_shared(design.validation_frames, n_validation, rng)),
        Part.TEST: iter(_shared(design.test_frames, design.test_videos, rng)),
    }

    clips: list[StudyClip] = []
    other = 0
    for number, (group, word) in enumerate(zip(groups, seeds.tolist(), strict=True)):
        rank = number if group is Group.HEALTHY else number - design.healthy
        own = np.random.default_rng([seed, number])
        traits = TYPICAL if group is Group.HEALTHY else impaired(own)
        for index in range(next(videos[number in tested])):
            part = Part.TEST
            if number not in tested:
                part = Part.VALIDATION if other in validating else Part.TRAIN
                other += 1
            clips.append(
                StudyClip(
                    subject=f"{group.value[0].upper()}{rank + 1:02d}",
                    group=group,
                    index=index,
                    split=part,
                    frames=_spread(next(counts[part]), design.n_frames, own),
                    subject_seed=word,
                    traits=traits,
                    n_frames=design.n_frames,
                )
            )
    return Study(seed, design, tuple(clips))


def write_study(
    clips: Iterable[StudyClip], out: Path
) -> Generator[Progress | Done[list[Path]] | Failed, None, None]:
    """Write whole clips with the labels of their annotated frames: `H01/passive-rom_1.avi`.

    Yields
    ------
    Progress
        In frames, over all clips.
    Done of list of Path, or Failed
        The clips, last.
    """
    wanted = list(clips)
    total = sum(clip.n_frames for clip in wanted)
    written: list[Path] = []
    before = 0
    try:
        for clip in wanted:
            path = out / clip.subject / f"{clip.name}.avi"
            for step in write_clip(clip.source(), path, clip.frames):
                yield replace(step, done=before + step.done, total=total)
            before += clip.n_frames
            written.append(path)
        yield Done(written)
    except DeepMTJError as error:
        yield Failed(error)


def _check(design: Design, n_validation: int) -> None:
    """Refuse a design in which somebody has no video, or a video too few or too many labels."""
    n_others = design.subjects - design.test_subjects
    if not 0 < design.test_subjects < design.subjects:
        raise DeepMTJError(f"{design.test_subjects} of {design.subjects} subjects cannot be tested")
    for what, videos, at_least in (
        ("test", design.test_videos, design.test_subjects),
        ("other", design.other_videos, n_others),
    ):
        if videos < at_least:
            raise DeepMTJError(f"{at_least} {what} subjects need a video each, not {videos}")
    for what, frames, videos in (
        ("training", design.train_frames, design.other_videos - n_validation),
        ("validation", design.validation_frames, n_validation),
        ("test", design.test_frames, design.test_videos),
    ):
        # A quarter of the frames at most, so that those of a video stay apart.
        if not videos <= frames <= videos * (design.n_frames // 4):
            raise DeepMTJError(
                f"{frames} {what} frames do not fit {videos} videos of {design.n_frames} frames"
            )


def _tested(design: Design, rng: np.random.Generator) -> set[int]:
    """Draw the test subjects, by number, from both groups in proportion."""
    n_impaired = round(design.test_subjects * design.impaired / design.subjects)
    of_healthy = rng.permutation(design.healthy)[: design.test_subjects - n_impaired]
    of_impaired = design.healthy + rng.permutation(design.impaired)[:n_impaired]
    return {*of_healthy.tolist(), *of_impaired.tolist()}


def _shared(total: int, among: int, rng: np.random.Generator) -> list[int]:
    """Share out `total` things, no two shares differing by more than one."""
    shares = np.full(among, total // among)
    shares[rng.permutation(among)[: total % among]] += 1
    return [int(share) for share in shares]


def _spread(n: int, n_frames: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Draw a frame from the middle half of each of `n` equal stretches: none are neighbours."""
    begin = (np.arange(n) + 0.25) * n_frames / n
    at = begin + rng.uniform(0.0, 0.5, n) * n_frames / n
    return tuple(at.astype(int).tolist())
