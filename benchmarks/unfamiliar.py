"""How often a model warns of pictures that it is not meant for, and of those that it is.

    python benchmarks/unfamiliar.py [--model compact] [--scenes 480] [--seed 977] [--write]

Made-up calves on scanners of the test set, the same under colour Doppler turned grey, and pictures
without a calf; photographs of scikit-image; and, where they are, the real images of
`../shared/data/real`. No limit was fitted on any of these. Of the images that are kept for checking
only the rate is told. Real and made-up pictures are never in one number.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage

from markdown_tables import markdown, write_between
from napari_deepmtj.core.geometry import PixelMap, Roi
from napari_deepmtj.inference.backends.onnx import OnnxBackend
from napari_deepmtj.inference.backends.threads import Threads
from napari_deepmtj.inference.decode import decode
from napari_deepmtj.inference.out_of_distribution import Familiar
from napari_deepmtj.inference.preprocess import to_network_inputs
from napari_deepmtj.training.dataset import render_chunk, without_calf
from napari_deepmtj.training.recipes import CHUNK, SceneSet
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import Model, load_model

ROOT = Path(__file__).parents[1]
TRACKING_DOC = ROOT / "docs" / "explanation" / "tracking.md"
REAL = ROOT.parent / "shared" / "data" / "real"
UInt8Array = npt.NDArray[np.uint8]

#: Real stills that may be looked at; the others of their folder are for checking.
LOOK = ("dltrack_*", "rf_*", "timtrack_example_*", "timtrack_S2_*")
#: Where the picture is in the screen recordings of that data, and which frames are taken.
SCREEN, EVERY = Roi(215, 45, 720, 574), 20
#: Photographs that scikit-image has within its package, in the order of their names.
PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "color", "grass"),
    *("gravel", "hubble_deep_field", "ihc", "moon", "motorcycle_left", "page", "retina"),
    *("rocket", "text"),
)


@dataclass(frozen=True)
class Rates:
    """Of one set: how many pictures, how many warned of, called in view, and both or neither."""

    name: str
    pictures: int
    warned: int
    in_view: int
    believed: int

    def row(self) -> list[str]:
        """Return the row of the table."""
        n = self.pictures
        parts = (self.warned, self.in_view, self.believed)
        return [self.name, str(n), *(f"{part} ({part / n:.1%})" for part in parts)]


def rates(name: str, pictures: Iterator[UInt8Array], model: Model) -> Rates | None:
    """Count over pictures of any size; None if there are none, or if the model never warns."""
    familiar, card = Familiar.of(model), model.card
    if familiar is None:
        return None
    backend = OnnxBackend(model, Threads(1))
    warned, in_view = [], []
    for picture in pictures:
        height, width = picture.shape
        pixel_map = PixelMap.fit(Roi(0, 0, width, height), card.input_height, card.input_width)
        inputs = to_network_inputs(picture[None], pixel_map)
        output = backend.infer(inputs, content=pixel_map.content)
        size = {"height": card.input_height, "width": card.input_width}
        in_view.append(bool(decode(output, card.decoding, tolerance_px=16, **size).in_view[0]))
        assert output.features is not None
        warned.append(bool(familiar.strange(output.features)[0]))
    if not warned:
        return None
    strange, seen = np.array(warned), np.array(in_view)
    counts = (strange.sum(), seen.sum(), (seen & ~strange).sum())
    return Rates(name, len(strange), *(int(count) for count in counts))


def scenes(count: int, seed: int) -> tuple[list[UInt8Array], list[UInt8Array], list[UInt8Array]]:
    """Return made-up pictures: MTJ in view, calves with it out of view, and without a calf."""
    what = SceneSet(seed, count, out_of_view=0.2, nothing=0.3, styles="test")
    sets: tuple[list[UInt8Array], ...] = ([], [], [])
    for index in range(what.chunks):
        pictures, _, present = render_chunk(what, index)
        for picture, there in zip(pictures.numpy(), present.tolist(), strict=True):
            sets[0 if there else 2 if without_calf(what, index) else 1].append(picture)
    return sets[0], sets[1], sets[2]


def under_doppler(picture: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Return a picture with colour Doppler in a box, colours turned grey as readers do."""
    height, width = picture.shape
    h, w = (int(side * rng.uniform(0.4, 0.8)) for side in (height, width))
    top, left = int(rng.uniform(0, height - h)), int(rng.uniform(0, width - w))
    flow = ndimage.gaussian_filter(rng.standard_normal((h, w)), rng.uniform(3, 9))
    flow /= flow.std()
    # Red to yellow towards the probe, blue to cyan away from it, nothing where it is slow.
    luma = np.where(flow > 0, 76 + 50 * flow, 29 - 50 * flow).clip(0, 226)
    made = picture.copy()
    inside = made[top : top + h, left : left + w]
    inside[np.abs(flow) > 0.7] = luma[np.abs(flow) > 0.7]
    made[[top, top + h - 1], left : left + w] = 200
    made[top : top + h, [left, left + w - 1]] = 200
    return made


def photographs() -> Iterator[UInt8Array]:
    """Yield the photographs that scikit-image has."""
    folder = Path(str(files("skimage") / "data"))
    for name in PHOTOGRAPHS:
        for path in sorted(folder.glob(f"{name}.*g")):
            yield _grey(path)


def _grey(path: Path) -> UInt8Array:
    with Image.open(path) as picture:
        return np.array(picture.convert("L"))


def _stills(keep: Callable[[Path], bool]) -> Iterator[UInt8Array]:
    return (_grey(path) for path in sorted((REAL / "muscle_still").glob("*")) if keep(path))


def _is_look(path: Path) -> bool:
    return any(path.match(pattern) for pattern in LOOK)


def real() -> Iterator[tuple[str, Iterator[UInt8Array]]]:
    """Yield the real sets."""

    def junctions() -> Iterator[UInt8Array]:
        yield from (_grey(path) for path in sorted((REAL / "mtj").glob("still_*.png")))
        with open_video(REAL / "mtj" / "mtj_clip.avi") as clip:
            yield from clip.frames()

    def kept_for_checking() -> Iterator[UInt8Array]:
        yield from _stills(lambda path: not _is_look(path))
        for path in sorted((REAL / "muscle_video").glob("*.mp4")):
            with open_video(path) as clip:
                yield from clip.frames(0, None, EVERY, SCREEN)

    yield "real MTJ: 3 stills, 44 frames of a clip", junctions()
    yield "real muscle without a MTJ, looked at", _stills(_is_look)
    yield "real muscle without a MTJ, kept for checking", kept_for_checking()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--scenes", type=int, default=6 * CHUNK, help=f"in {CHUNK}s")
    parser.add_argument("--seed", type=int, default=977)
    parser.add_argument("--write", action="store_true", help="into docs/explanation/tracking.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(options.model)
    seen, beyond, nothing = scenes(options.scenes, options.seed)
    rng = np.random.default_rng(options.seed)
    sets: list[tuple[str, Iterator[UInt8Array]]] = [
        ("made-up, MTJ in view", iter(seen)),
        ("made-up, calf, MTJ out of view", iter(beyond)),
        ("made-up, no calf", iter(nothing)),
        ("made-up, MTJ in view, under Doppler", (under_doppler(p, rng) for p in seen)),
        ("photographs", photographs()),
        *(real() if REAL.exists() else ()),
    ]
    found = [rates(name, pictures, model) for name, pictures in sets]
    head = ["pictures", "n", "warned of", "called in view", "in view and not warned of"]
    table = markdown(head, [each.row() for each in found if each is not None])
    print(table)
    if options.write:
        card = model.card
        said = f"Model {card.id} {card.version} ({card.sha256[:12]}), seed {options.seed}."
        write_between(TRACKING_DOC, "unfamiliar", f"{said}\n\n{table}")


if __name__ == "__main__":
    main()
