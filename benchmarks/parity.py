"""Hold ONNX Runtime against torch: the same positions, flags and confidence on every frame.

    python benchmarks/parity.py [--subjects 250] [--seed 1002] [--data DATA] [--write]

Phantoms of subjects that no recipe trains on (eight frames of each), on scanners of the test set,
and what DATA has of real pictures: stills, the clip, and every 20th frame of the videos. A
difference of 0.02 px of the picture, or of 0.001 in confidence, is a failure, and so is any in view
or in flags.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from accuracy_frames import Judge, draw_pieces
from accuracy_real import EVERY, REGION, WITHOUT
from markdown_tables import markdown, write_between
from napari_deepmtj.video.opening import VideoSource, open_video
from napari_deepmtj.video.stacks.stack import ArraySource
from napari_deepmtj.weights.store import bundled_folder

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "explanation" / "backends.md"
DATA = ROOT.parent / "shared" / "data" / "real"
#: What positions may differ by, in px of the picture, and confidences.
PX, CONFIDENCE = 0.02, 1e-3


def phantoms(subjects: int, seed: int) -> Iterator[tuple[VideoSource, str, range | None]]:
    """Yield the clips of made-up subjects."""
    for piece in draw_pieces(subjects, seed, "test", 2):
        yield ArraySource(piece.frames, piece.name), "full", None


def real(data: Path) -> Iterator[tuple[VideoSource, str, range | None]]:
    """Yield real pictures and clips."""
    for path in sorted((data / "mtj").glob("still_*.png")):
        yield ArraySource(np.asarray(Image.open(path).convert("L"))[None], path.name), "full", None
    with open_video(data / "mtj" / "mtj_clip.avi") as source:
        yield source, "auto", None
    for pattern in WITHOUT.values():
        for path in sorted(data.glob(pattern)):
            video = path.suffix == ".mp4"
            with open_video(path) as source:
                frames = range(0, source.n_frames, EVERY if video else 1)
                yield source, REGION if video else "full", frames


def main() -> int:
    """Compare, print, and return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--subjects", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1002)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    ids = sorted(path.stem for path in bundled_folder().glob("*.safetensors"))
    judges = {name: (Judge(name, "torch"), Judge(name, "onnxruntime")) for name in ids}
    sets = {"made-up": phantoms(options.subjects, options.seed)}
    if options.data.exists():
        sets["real"] = real(options.data)
    rows, failed = [], False
    for kind, sources in sets.items():
        differences: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in ids}
        for source, roi, frames in sources:
            for name, pair in judges.items():
                one, two = (judge.track(source, roi, frames).table for judge in pair)
                off = np.hypot(one["x_px"] - two["x_px"], one["y_px"] - two["y_px"])
                unsure = (one["confidence"] - two["confidence"]).abs()
                same = (one["in_view"] == two["in_view"]) & (one["flags"] == two["flags"])
                differences[name] += zip(off.fillna(0), unsure.fillna(0), same, strict=True)
        for name, values in differences.items():
            off, unsure, same = (np.array(column) for column in zip(*values, strict=True))
            failed |= bool((off > PX).any() or (unsure > CONFIDENCE).any() or not same.all())
            cells = (f"{off.max():.0e} px", f"{unsure.max():.0e}", str(int((~same).sum())))
            rows.append((name, f"{kind} ({len(off)})", *cells))
    head = ("model", "frames", "positions differ by at most", "confidence by", "in view or flags")
    table = markdown(head, rows)
    print(table)
    if options.write:
        write_between(DOCUMENT, "parity", table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
