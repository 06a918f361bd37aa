"""How far refilling is off between two corrections, and how long it takes.

Moving phantom clips that nothing corrupts; the path to be corrected is flow's own from the first
frame on, which has drifted. It is corrected to the truth every so many frames, as a person would,
and refilled after each. Subjects are of seed 813, of which nothing was chosen.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from corruption import NOISE
from markdown_tables import markdown, write_between
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Origin, Trajectory
from napari_deepmtj.phantom.cohort import RATE, PhantomClip, subjects
from napari_deepmtj.tracking.flow import follow
from napari_deepmtj.tracking.refill import refill
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.stacks.stack import ArraySource
from napari_deepmtj.video.writer import VideoWriter


def noisy(clip: PhantomClip, seed: int) -> ArraySource:
    """Return the clip with noise that every frame has anew."""
    rng = np.random.default_rng(seed)
    frames = [
        (frame + NOISE * rng.standard_normal(frame.shape)).clip(0, 255).round().astype(np.uint8)
        for frame in clip.frames()
    ]
    times = FrameTimes.from_rate(clip.n_frames, RATE, "phantom")
    return ArraySource(np.stack(frames), clip.name, times=times, scale=clip.scale, roi=clip.roi)


def drifted(source: ArraySource, clip: PhantomClip) -> Trajectory:
    """Return flow's way from the first frame on as if somebody had tracked it."""
    found = follow(source, clip.truth[0], 0, clip.n_frames - 1, roi=clip.roi)
    rows = [
        FramePrediction(int(f), float(x), float(y), np.eye(2), 0.5, bool(np.isfinite(x)))
        for f, (x, y) in zip(found.frames, found.xy, strict=True)
    ]
    said = Provenance(
        source.name,
        source.sha256,
        source.n_frames,
        source.height,
        source.width,
        source.times.source,
        roi=clip.roi,
        scale=clip.scale,
    )
    return Trajectory.from_predictions(rows, source.times, said)


def seconds_of(source: ArraySource, clip: PhantomClip, trajectory: Trajectory, out: Path) -> float:
    """Return how long a span of 100 frames takes from an MJPEG file, opened anew."""
    path = out / f"{source.name}.avi"
    with VideoWriter(path, source.height, source.width, RATE) as writer:
        for frame in source.frames():
            writer.add(frame)
    with open_video(path) as file:
        file.sha256 = source.sha256
        last = min(100, clip.n_frames - 1)
        set_ = trajectory.corrected(0, clip.truth[0]).corrected(last, clip.truth[last])
        began = time.perf_counter()
        refill(set_, file, last)
        return time.perf_counter() - began


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=813)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--frames", type=int, default=151)
    parser.add_argument("--every", type=int, default=50, help="frames between corrections")
    parser.add_argument("--folder", type=Path, required=True, help="for videos that are written")
    parser.add_argument("--output", type=Path, help="a document with a place for the table")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, subject in enumerate(subjects(asked.clips, asked.seed)):
        clip = subject.clip(number % 2, n_frames=asked.frames)
        assert clip.scale is not None
        source = noisy(clip, asked.seed + number)
        trajectory = drifted(source, clip)
        path = trajectory
        anchors = range(0, asked.frames, asked.every)
        for frame in anchors:
            path = refill(path.corrected(frame, clip.truth[frame], Origin.CORRECTED), source, frame)
        seconds = seconds_of(source, clip, trajectory, asked.folder)
        span = slice(0, anchors[-1] + 1)
        before, after = (
            np.linalg.norm(t.xy_px - clip.truth, axis=1)[span] * clip.scale.x_mm
            for t in (trajectory, path)
        )
        exact = float(after[list(anchors)].max())
        rows.append(
            [
                clip.movement.value,
                *(f"{v:.2f}" for v in (np.nanmean(before), np.nanmax(before))),
                *(f"{v:.2f}" for v in (after.mean(), after.max())),
                f"{exact:g}",
                f"{seconds:.2f}",
            ]
        )
        print(rows[-1], flush=True)
    head = [
        "clip",
        "mean before, mm",
        "most",
        "mean after, mm",
        "most",
        "at anchors",
        "100 frames, s",
    ]
    text = markdown(head, rows)
    print(text)
    if asked.output:
        write_between(asked.output, "refill", text)


if __name__ == "__main__":
    main()
