"""Small clips of every kind for the benchmarks of batches, good and bad, and a network for them.

What is in the pictures does not matter there: they are cut from one made-up clip, each elsewhere,
so that no two are the same, and the network has learned nothing.
"""

from __future__ import annotations

import csv
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: Kinds of clips, by turns: what is written, and how the file ends.
KINDS = ("mjpeg.avi", "h264.mp4", "stack.tif", "array.npy", "pictures")

#: Names of folders and clips: blanks, letters of several alphabets, what shells take for a pattern.
FOLDERS = ("S1", "S 2 (left)", "Müller_03", "被験者4", "read only")
NAMES = ("mvc {}", "rom_{}", "Dehnung è {}", "пассив[{}]", "trial'{}")

#: The model's id.
MODEL = "benchmark-tiny"


def make_model(folder: Path) -> None:
    """Write an untrained network of four channels, which sees an MTJ in everything, as `MODEL`."""
    import torch

    from napari_deepmtj.networks.build import build
    from napari_deepmtj.weights.cards import WeightCard
    from napari_deepmtj.weights.store import save_model

    torch.manual_seed(0)
    card = WeightCard(
        id=MODEL,
        version="1",
        licence="BSD-3-Clause",
        network="compact",
        network_arguments={"channels": [4, 4, 4]},
        input_height=32,
        input_width=64,
        normalisation="minus-one-one",
        trained_on="nothing",
        label_definition="none",
        decoding={"presence_threshold": 0.0},
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / f"{MODEL}.safetensors", build("compact", channels=(4, 4, 4)), card)


def drifting(
    rng: np.random.Generator, n_frames: int, height: int, width: int
) -> npt.NDArray[np.uint8]:
    """Return smooth speckle with a bright spot that moves, shape (n_frames, height, width)."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.normal(size=(height, width + 2 * n_frames)), 1.5)
    grey = 90 + 60 * noise / noise.std()
    y, x = np.mgrid[:height, :width]
    at = rng.uniform(0.3, 0.7, 2) * (width, height)
    frames = []
    for n in range(n_frames):
        far = (x - at[0] - 0.4 * n) ** 2 + (y - at[1]) ** 2
        frame = grey[:, 2 * n : 2 * n + width] + 120 * np.exp(-far / 60)
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return np.stack(frames)


def write(path: Path, kind: str, frames: npt.NDArray[np.uint8]) -> None:
    """Write a clip of a kind; its scale beside it."""
    from PIL import Image

    from napari_deepmtj.core.geometry import Scale
    from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
    from napari_deepmtj.video.writer import VideoWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "mjpeg.avi":
        with VideoWriter(path, *frames.shape[1:], 25.0) as writer:
            for frame in frames:
                writer.add(frame)
    elif kind == "h264.mp4":
        write_h264(path, frames)
    elif kind == "stack.tif":
        import tifffile

        tifffile.imwrite(path, frames, photometric="minisblack")
    elif kind == "array.npy":
        np.save(path, frames)
    else:
        path.mkdir()
        for n, frame in enumerate(frames):
            Image.fromarray(frame).save(path / f"{n:03d}.png")
    write_sidecar(path, ClipInfo(Scale(0.3, 0.3, "made up"), distal_side="right"))


def write_h264(path: Path, frames: npt.NDArray[np.uint8], crf: int = 30) -> None:
    """Write a clip with long groups of pictures and B-frames, as recorders of screens do."""
    import av

    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "crf": str(crf)}
        stream: Any = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuv420p"
        for n, grey in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def make_clips(
    folder: Path, n: int, corrupt: int, copies: int, seed: int, frames: int = 8
) -> tuple[int, int]:
    """Write clips: `n` in all, of them `corrupt` ones that cannot be read, and `copies` of others.

    `study.csv` beside them lists all.

    Returns
    -------
    good, bad : int
        How many of either there are.
    """
    rng = np.random.default_rng(seed)
    endings = [kind.partition(".")[2] for kind in KINDS]
    made: list[Path] = []
    broken: list[Path] = []
    for i in range(n - copies):
        name = NAMES[i % len(NAMES)].format(i)
        kind = KINDS[i % len(KINDS)]
        ending = endings[i % len(KINDS)]
        place = folder / FOLDERS[(i + i // len(KINDS)) % len(FOLDERS)]
        path = place / (f"{name}.{ending}" if ending else name)
        if i < corrupt:
            place.mkdir(parents=True, exist_ok=True)
            path = place / f"{name}.{('avi', 'mp4', 'tif', 'npy')[i % 4]}"
            path.write_bytes((b"", b"RIFF nonsense", b"no video at all\n" * 9)[i % 3])
            broken.append(path)
            continue
        write(path, kind, drifting(rng, int(rng.integers(frames, 2 * frames)), 48, 96))
        made.append(path)
    files = [path for path in made if path.is_file()]
    for i in range(copies):
        source = files[int(rng.integers(len(files)))]
        target = folder / "copies" / f"copy {i}{source.suffix}"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(source, target)
        made.append(target)
    with (folder / "study.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "subject"])
        for path in sorted([*made, *broken]):
            table.writerow([path.relative_to(folder).as_posix(), path.parent.name])
    (folder / "read only").chmod(0o555)
    return n - corrupt, corrupt
