"""Made-up subjects and their clips, with the MTJ known in every frame.

A subject has one anatomy and one scanner; its clips differ in movement, tissue grain and probe
position. A clip draws a frame when it is asked for, so it is a `VideoSource` of any length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Progress
from napari_deepmtj.core.labels import PHANTOM, Label
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.phantom.anatomy import Scene, mtj_mm, sample_scenes
from napari_deepmtj.phantom.devices import StyleSet, outside_fan
from napari_deepmtj.phantom.materials import Materials, Motion, sample_materials
from napari_deepmtj.phantom.motion import Movement, course
from napari_deepmtj.phantom.speckle import render
from napari_deepmtj.phantom.traits import TYPICAL, Traits
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, DistalSide, write_sidecar
from napari_deepmtj.video.source import BaseSource
from napari_deepmtj.video.writer import VideoWriter

FloatArray = npt.NDArray[np.float64]

#: Picture sizes (height, width) of the made-up scanners.
SIZES = ((256, 512), (290, 580), (300, 600), (360, 720))
#: Frames per second, P20.
RATE = 25.0
#: Seed of `demo_clip`: a well visible junction. It was chosen on the first phantom, after the
#: errors of an unfinished model on 26 subjects had been seen, and kept
#: (`benchmarks/demo_subjects.py`): the demonstration shows the way, `benchmarks/accuracy.py` the
#: accuracy. Training seeds are in the recipes, and differ.
DEMO_SEED = 2045


@dataclass(frozen=True)
class Subject:
    """One made-up person on one made-up scanner.

    Parameters
    ----------
    seed : int
        From which everything about the subject follows.
    styles : {"training", "calibration", "test"}
        The set that the subject's scanner is of, see `devices`.
    """

    seed: int
    styles: StyleSet = "training"

    def clip(
        self, index: int, *, n_frames: int = 60, slip_mm: FloatArray | None = None
    ) -> PhantomClip:
        """Return the subject's clip number `index`: passive ROM if even, MVC if odd.

        `slip_mm` is how far, in each frame, the probe slips besides what it does anyway.
        """
        return PhantomClip(self.seed, index, n_frames, slip_mm, styles=self.styles)


def subjects(n: int, seed: int, styles: StyleSet = "training") -> list[Subject]:
    """Return `n` subjects; another seed gives other ones, another set of styles other scanners."""
    sequence = np.random.SeedSequence(seed)
    return [Subject(int(word), styles) for word in sequence.generate_state(n, dtype=np.uint32)]


class PhantomClip(BaseSource):
    """A made-up clip that draws its frames when asked, and knows where the MTJ is.

    Parameters
    ----------
    subject_seed : int
        Anatomy and scanner.
    index : int
        Number of the clip: movement, grain and probe position.
    n_frames : int
        Length, at 25 frames a second.
    slip_mm : ndarray, shape (n_frames,), or None
        Displacement of everything, distal positive, besides the slip that is drawn; it may take
        the MTJ out of the picture.
    traits : Traits
        In what the subject differs from those drawn.
    styles : {"training", "calibration", "test"}
        The set that the scanner is of.

    Attributes
    ----------
    scene : Scene
        The subject's, in this clip's reference frame.
    course : Course
        How the tissue and the probe move.
    truth : ndarray of float64, shape (n_frames, 2)
        (x, y) of the MTJ in frame pixels; NaN where it is outside the picture.
    """

    def __init__(
        self,
        subject_seed: int,
        index: int,
        n_frames: int,
        slip_mm: FloatArray | None = None,
        traits: Traits = TYPICAL,
        *,
        styles: StyleSet = "training",
    ) -> None:
        rng = torch.Generator().manual_seed(subject_seed)
        height, width = SIZES[int(torch.randint(len(SIZES), (1,), generator=rng))]
        self._flipped = bool(torch.rand(1, generator=rng) < 0.5)
        scene = traits.of_scene(sample_scenes(1, rng, aspect=height / width), height / width)
        drawn = sample_materials(1, 1, 1, rng, styles=styles)
        self._look, self.device = drawn.look, drawn.device

        numbers = np.random.default_rng([subject_seed, index])
        self.movement = list(Movement)[index % len(Movement)]
        times = FrameTimes.from_rate(n_frames, RATE, "phantom")
        self.course = course(
            self.movement, times.seconds, numbers, reach=traits.reach, pace=traits.pace
        )
        self.scene = _placed(scene, self.course.tip_mm + self.course.slip_mm, numbers)
        if slip_mm is not None:
            self.course = replace(self.course, slip_mm=self.course.slip_mm + slip_mm)
        self._added, self.traits, self.styles = slip_mm, traits, styles
        mm_per_px = float(scene.width_mm) / width
        reach = np.abs(self.course.tip_mm) + np.abs(self.course.slip_mm)
        self._margin = int(np.ceil(reach.max() / mm_per_px)) + 2
        self._grain_seed = int(numbers.integers(2**31))

        super().__init__(
            f"{self.movement.value}_{index + 1}",
            None,
            height,
            width,
            times,
            scale=Scale.isotropic(mm_per_px, "phantom"),
            metadata={"phantom": True, "subject_seed": subject_seed, "clip": index},
        )
        self.roi = Roi(0, 0, width, height, "phantom")
        self.distal_side: DistalSide = "left" if self._flipped else "right"
        xy = mtj_mm(self.scene_at(range(n_frames))).double().numpy()
        truth = xy / mm_per_px - 0.5
        share = torch.from_numpy((truth + 0.5) / [width, height])
        truth[outside_fan(self.device, share[:, 0], share[:, 1]).numpy()] = np.nan
        if self._flipped:
            truth[:, 0] = width - 1 - truth[:, 0]
        inside = ((truth >= 0) & (truth <= [width - 1, height - 1])).all(axis=1)
        truth[~inside] = np.nan
        self.truth: FloatArray = truth

    def labels(self, clip: str, clip_sha256: str) -> list[Label]:
        """Return the truth as labels of the file it was written to."""
        return [
            Label(
                clip=clip,
                clip_sha256=clip_sha256,
                frame=frame,
                time_s=float(self.times.seconds[frame]),
                x_px=None if np.isnan(x) else float(x),
                y_px=None if np.isnan(x) else float(y),
                annotator=PHANTOM,
            )
            for frame, (x, y) in enumerate(self.truth)
        ]

    @cached_property
    def _materials(self) -> Materials:
        """The tissue, drawn with the first frame: who asks for the truth only needs none."""
        grain = torch.Generator().manual_seed(self._grain_seed)
        drawn = sample_materials(1, self.height, self.width, grain, margin=self._margin)
        contrast = self.traits.contrast
        return replace(
            drawn,
            look=self._look,
            device=self.device,
            contrast=None if contrast == 1.0 else torch.tensor([contrast]),
        )

    def scene_at(self, frames: range) -> Scene:
        """Return the scene at `frames`, each a row of the batch."""
        table = self.scene.to_table().expand(len(frames), -1)
        now = self.course
        shift = torch.from_numpy((now.tip_mm + now.slip_mm)[list(frames)]).float()
        gain = torch.from_numpy(now.slope_gain[list(frames)]).float()
        return Scene.from_table(table).moved(shift, gain)

    def _read(self, frame: int) -> npt.NDArray[np.uint8]:
        picture = self._drawn(frame)
        kept = float(self.device.persistence)
        if frame > 0 and kept > 0:
            mixed = (1 - kept) * picture + kept * self._drawn(frame - 1)
            picture = np.rint(mixed).astype(np.uint8)
        return np.ascontiguousarray(picture[:, ::-1]) if self._flipped else picture

    def _drawn(self, frame: int) -> npt.NDArray[np.uint8]:
        """Return a frame without persistence, distal to the right."""

        def of(values: FloatArray) -> torch.Tensor:
            return torch.tensor([values[frame]], dtype=torch.float32)

        now = self.course
        motion = Motion(of(now.tip_mm), of(now.soleus_mm), of(now.slip_mm))
        scene = self.scene_at(range(frame, frame + 1))
        with torch.inference_mode():
            return render(scene, self._materials, self.height, self.width, motion)[0].numpy()

    def _hash(self) -> str:
        facts = (self.metadata["subject_seed"], self.metadata["clip"], self.n_frames)
        digest = hashlib.sha256(f"phantom 2 {facts}".encode())
        if self.styles != "training":
            digest.update(self.styles.encode())
        if self._added is not None:
            digest.update(self._added.astype("<f8").tobytes())
        if self.traits != TYPICAL:
            digest.update(f"traits {astuple(self.traits)}".encode())
        return digest.hexdigest()


def _placed(scene: Scene, excursion_mm: FloatArray, rng: np.random.Generator) -> Scene:
    """Put the tip where its excursion stays in the picture, as whoever holds the probe does."""
    width = float(scene.width_mm)
    low = 0.12 * width - float(excursion_mm.min())
    high = 0.92 * width - float(excursion_mm.max())
    place = rng.uniform(low, high) if low < high else 0.5 * (low + high)
    return replace(scene, tip_mm=torch.full_like(scene.tip_mm, place))


def demo_clip(n_frames: int = 150) -> PhantomClip:
    """Return the clip of the demonstration: a passive stretch of six seconds."""
    return Subject(DEMO_SEED).clip(0, n_frames=n_frames)


def write_clip(
    clip: PhantomClip, path: Path, annotated: Collection[int] | None = None
) -> Generator[Progress, None, None]:
    """Write a clip as MJPEG, its scale and region beside it, and its truth as labels.

    `annotated` are the frames that get a label; None means all.
    """
    with VideoWriter(path, clip.height, clip.width, RATE) as writer:
        for number, frame in enumerate(clip.frames(), start=1):
            writer.add(frame)
            yield Progress(number, clip.n_frames, "frame", path.name)
    write_sidecar(path, ClipInfo(clip.scale, clip.roi, clip.distal_side))
    with open_video(path) as written:
        labels = clip.labels(path.name, written.sha256)
    write_labels(
        labels_path(path),
        labels if annotated is None else [labels[frame] for frame in sorted(annotated)],
    )


def write_cohort(
    n_subjects: int,
    n_videos: int,
    seed: int,
    out: Path,
    *,
    n_frames: int = 60,
    styles: StyleSet = "training",
) -> Generator[Progress | Done[list[Path]] | Failed, None, None]:
    """Write clips and truth of several subjects: `subject_001/passive-rom_1.avi` and so on.

    Yields
    ------
    Progress
        In frames, over all clips.
    Done of list of Path, or Failed
        The clips, last.
    """
    written: list[Path] = []
    total = n_subjects * n_videos * n_frames
    try:
        for number, subject in enumerate(subjects(n_subjects, seed, styles), start=1):
            for index in range(n_videos):
                clip = subject.clip(index, n_frames=n_frames)
                path = out / f"subject_{number:03d}" / f"{clip.name}.avi"
                for step in write_clip(clip, path):
                    yield replace(step, done=len(written) * n_frames + step.done, total=total)
                written.append(path)
        yield Done(written)
    except DeepMTJError as error:
        yield Failed(error)
