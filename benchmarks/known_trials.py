"""Made-up trials of which everything is known: clips, the MTJ at 1000 Hz, torque and angles.

A subject's passive clip and contraction come from the phantom; a dynamometer that was started at
another time records torque, ankle angle and a trigger at 1000 Hz, with noise. What is made of them
is `known_mechanics.py`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from napari_deepmtj.mechanics.channels import Channels
from napari_deepmtj.phantom.anatomy import mtj_mm
from napari_deepmtj.phantom.cohort import PhantomClip, Subject
from napari_deepmtj.phantom.motion import course
from napari_deepmtj.video.stacks.stack import ArraySource

FloatArray = npt.NDArray[np.float64]

#: Frames of a clip (10 s at 25 Hz), and samples a second of the dynamometer and of the truth.
N_FRAMES, RATE_HZ = 250, 1000
#: The dynamometer's noise (SD), and by how much it was started before the clip, at most.
TORQUE_NOISE_NM, ANGLE_NOISE_DEG, EARLIER_S = 0.3, 0.05, 2.0
#: Passive: mm the MTJ moves proximally for a degree of plantar flexion. In a contraction, the share
#: of the displacement that is the ankle's turning.
MM_PER_DEG, TURNING = 0.5, 0.2
#: The rest of the subject.
SHANK_MM, ARM_MM, STIFFNESS_N_MM, KNEE_DEG = 400.0, 45.0, 150.0, 10.0
#: Ankle angle at which a contraction begins, dorsiflexed, so that its turn lies in the passive one.
START_DEG = 7.0


@dataclass(frozen=True)
class Trial:
    """One clip and what is true of it.

    Attributes
    ----------
    clip : PhantomClip
        Its frames at 25 Hz.
    t, xy_mm : ndarray, shape (n,) and (n, 2)
        The MTJ at 1000 Hz, in s and mm of the frame.
    d : ndarray, shape (n,)
        Its true displacement from the first instant, proximally, along its true principal axis.
    ankle_deg, elongation_mm : ndarray, shape (n,)
        Dorsiflexion, and how far the tendon is stretched.
    channels : Channels
        What the dynamometer recorded, on its own clock.
    """

    clip: PhantomClip
    t: FloatArray
    xy_mm: FloatArray
    d: FloatArray
    ankle_deg: FloatArray
    elongation_mm: FloatArray
    channels: Channels


def make(seed: int, index: int) -> Trial:
    """Return a subject's passive trial (index 0) or contraction (1); nothing is drawn yet."""
    clip = Subject(seed).clip(index, n_frames=N_FRAMES)
    span = float(clip.times.seconds[-1])
    t = np.linspace(0, span, round(span * RATE_HZ) + 1)
    often = copy.copy(clip)
    often.course = course(clip.movement, t, np.random.default_rng([seed, index]))
    assert np.allclose(often.course.tip_mm[:: RATE_HZ // 25], clip.course.tip_mm)
    xy = mtj_mm(often.scene_at(range(len(t)))).double().numpy()
    assert clip.scale is not None
    mm = clip.scale.x_mm
    xy -= 0.5 * mm
    if clip.distal_side == "left":
        xy[:, 0] = (clip.width - 1) * mm - xy[:, 0]
    _, _, axes = np.linalg.svd(xy - xy.mean(axis=0), full_matrices=False)
    proximal = 1.0 if clip.distal_side == "left" else -1.0
    d = (xy - xy[0]) @ (axes[0] * np.sign(axes[0, 0]) * proximal)
    if index == 0:
        ankle, elongation = -d / MM_PER_DEG, np.zeros_like(d)
    else:
        ankle, elongation = START_DEG - TURNING * d / MM_PER_DEG, (1 - TURNING) * d
    channels = _recorded(t, ankle, elongation, np.random.default_rng([seed, index, 1]))
    return Trial(clip, t, xy, d, ankle, elongation, channels)


def _recorded(
    t: FloatArray, ankle: FloatArray, elongation: FloatArray, rng: np.random.Generator
) -> Channels:
    """Return what a device says that was started earlier, and ends a second later."""
    earlier = rng.uniform(0.5, EARLIER_S)
    own = np.arange(0, t[-1] + earlier + 1.0, 1 / RATE_HZ)
    torque = STIFFNESS_N_MM * elongation * ARM_MM / 1000
    values = {
        "Torque": np.interp(own - earlier, t, torque),
        "Ankle": np.interp(own - earlier, t, ankle),
        "Trigger": 5.0 * ((own >= earlier) & (own < earlier + 0.02)),
    }
    values["Torque"] += rng.normal(0, TORQUE_NOISE_NM, len(own))
    values["Ankle"] += rng.normal(0, ANGLE_NOISE_DEG, len(own))
    return Channels(own, values, {"Torque": "Nm", "Ankle": "deg", "Trigger": "V"}, "made")


def at_times(trial: Trial, seconds: FloatArray) -> FloatArray:
    """Return the true positions in mm at times, shape (n, 2)."""
    return np.column_stack([np.interp(seconds, trial.t, trial.xy_mm[:, k]) for k in (0, 1)])


def uneven(seconds: float, seed: int) -> FloatArray:
    """Return times at 15 to 60 frames a second by turns."""
    steps = np.random.default_rng(seed).uniform(1 / 60, 1 / 15, round(seconds * 60))
    times = np.r_[0.0, np.cumsum(steps)]
    return times[times <= seconds]


def pictures(trial: Trial, folder: Path) -> npt.NDArray[np.uint8]:
    """Return all frames, drawn once and kept in `folder`; shape (n, H, W)."""
    facts = trial.clip.metadata
    path = folder / f"{facts['subject_seed']}_{facts['clip']}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        half_done = path.with_suffix(".part.npy")
        np.save(half_done, np.stack(list(trial.clip.frames())))
        half_done.replace(path)
    drawn: npt.NDArray[np.uint8] = np.load(path)
    return drawn


def even_source(trial: Trial, frames: npt.NDArray[np.uint8]) -> ArraySource:
    """Return the clip as it is: 25 frames a second."""
    clip = trial.clip
    return ArraySource(frames, "even", times=clip.times, scale=clip.scale, roi=clip.roi)


def write_uneven(
    trial: Trial, frames: npt.NDArray[np.uint8], path: Path
) -> tuple[Path, npt.NDArray[np.int64]]:
    """Write an MKV with uneven times, unless it is there; return which of the frames it has.

    One to three frames of 25 Hz lie from one to the next: 8 to 25 frames a second by turns. The
    codec is lossless, so that nothing but the times differs.
    """
    facts = trial.clip.metadata
    rng = np.random.default_rng([facts["subject_seed"], facts["clip"], 2])
    kept = np.cumsum(rng.integers(1, 4, N_FRAMES))
    kept = np.r_[0, kept[kept < N_FRAMES]]
    if path.exists():  # each file has an identity of its own
        return path, kept
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "gray"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number in kept:
            frame = av.VideoFrame.from_ndarray(frames[number], format="gray")
            frame.pts, frame.time_base = round(number * 40), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path, kept
