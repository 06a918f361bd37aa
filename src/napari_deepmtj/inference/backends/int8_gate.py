"""Whether 8 bits are good enough: the error on phantom pictures, beside that of 32 bit.

The pictures by which a network is quantised are those of other subjects. What quantises is
`backends_openvino`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import PixelMap
from napari_deepmtj.inference.backends.cache import Export, kept_export
from napari_deepmtj.inference.decode import Decoding, observe
from napari_deepmtj.inference.preprocess import normalise, to_network_input
from napari_deepmtj.phantom.cohort import PhantomClip, subjects

if TYPE_CHECKING:
    from napari_deepmtj.inference.backends.select import Backend
    from napari_deepmtj.weights.cards import WeightCard

FloatArray = npt.NDArray[np.float64]

#: By how much the mean error may grow, in mm.
LIMIT_MM = 0.05

#: Seeds of the subjects whose pictures are drawn; no recipe trains with them, nor does
#: `napari-deepmtj evaluate` measure on them unless asked to.
CALIBRATION_SEED, TEST_SEED = 9801, 9802
#: Subjects, each with one clip (a passive stretch or a contraction by turns), and frames of each.
CALIBRATION_SUBJECTS, TEST_SUBJECTS, FRAMES = 32, 64, 2
#: Frames of a clip, of which `FRAMES` are drawn, evenly.
LENGTH = 60


@dataclass(frozen=True)
class Sample:
    """Phantom pictures as a network sees them.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, H, W)
        Network inputs.
    contents : ndarray of int, shape (n, 4)
        Where in them the picture lies: first row, row after the last, and columns likewise.
    truth : ndarray of float64, shape (n, 2)
        (x, y) of the MTJ in network pixels; NaN out of view.
    mm : ndarray of float64, shape (n, 2)
        Millimetres per network pixel along x and y.
    """

    pixels: npt.NDArray[np.uint8]
    contents: npt.NDArray[np.int64]
    truth: FloatArray
    mm: FloatArray

    def content(self, i: int) -> tuple[slice, slice]:
        """Return where picture `i` lies in its input."""
        top, bottom, left, right = self.contents[i].tolist()
        return slice(top, bottom), slice(left, right)

    def inputs(self, normalisation: str) -> npt.NDArray[np.float32]:
        """Return the pictures as a network takes them, (n, 1, H, W)."""
        found = [
            normalise(self.pixels[i : i + 1], normalisation, content=self.content(i)).numpy()
            for i in range(len(self.pixels))
        ]
        return np.concatenate(found)


@dataclass(frozen=True, slots=True)
class Gate:
    """What 8 bits do to positions, in mm, over pictures with the MTJ in view.

    Parameters
    ----------
    pictures : int
        How many.
    error_mm, error_int8_mm : float
        Mean distance from the truth in 32 and in 8 bit.
    moved_mm, moved_most_mm : float
        How far positions in 8 bit are from those in 32 bit, in the mean and at most.
    limit_mm : float
        By how much the mean distance may grow.
    """

    pictures: int
    error_mm: float
    error_int8_mm: float
    moved_mm: float
    moved_most_mm: float
    limit_mm: float = LIMIT_MM

    @property
    def growth_mm(self) -> float:
        """By how much the mean distance grows."""
        return self.error_int8_mm - self.error_mm

    @property
    def passed(self) -> bool:
        """Whether 8 bits are good enough."""
        return self.growth_mm <= self.limit_mm

    def to_json(self) -> dict[str, Any]:
        """Return the figures, to 0.1 micrometre."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}

    def said(self) -> str:
        """Return the figures and what follows, in words."""
        verdict = (
            "8 bits are used"
            if self.passed
            else "8 bits are refused; going on with OpenVINO in 32 bit"
        )
        return (
            f"mean error on {self.pictures} phantom pictures {self.error_int8_mm:.3f} mm in 8 bit, "
            f"{self.error_mm:.3f} mm in 32 bit ({self.growth_mm:+.3f} mm, at most "
            f"{self.limit_mm:+.3f} mm allowed; positions move {self.moved_mm:.3f} mm in the mean, "
            f"{self.moved_most_mm:.2f} mm at most): {verdict}"
        )


def nncf_version() -> str:
    """Return the version of what quantises."""
    return version("nncf")


def sample_key() -> dict[str, Any]:
    """Return what tells the pictures from others, JSON-able."""
    drawn = subjects(1, TEST_SEED)[0].clip(0, n_frames=LENGTH).sha256  # tells the phantom's version
    seeds = {"calibration": CALIBRATION_SEED, "test": TEST_SEED}
    counts = [CALIBRATION_SUBJECTS, TEST_SUBJECTS, FRAMES, LENGTH]
    return {"seeds": seeds, "counts": counts, "one": drawn[:16]}


def samples(card: WeightCard) -> tuple[Sample, Sample]:
    """Return the pictures to quantise by and those to measure on, drawn once and kept."""
    size = [card.input_height, card.input_width, card.stretch]
    key = {"kind": "phantom pictures", "size": size, "pictures": sample_key()}
    drawing = kept_export("phantom", key, lambda: _packed(card))
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            export: Export = end.value
            break
    found = []
    for name in ("calibration", "test"):
        with np.load(BytesIO(export.files[f"{name}.npz"]), allow_pickle=False) as arrays:
            found.append(Sample(**{field: arrays[field] for field in arrays.files}))
    return found[0], found[1]


def measured(card: WeightCard, test: Sample, plain: Backend, small: Backend) -> Gate:
    """Return what the gate says of a backend in 8 bit beside one in 32 bit."""
    seen = np.isfinite(test.truth).all(axis=1)
    xy, xy8 = (positions(card, test, backend)[seen] for backend in (plain, small))
    truth, mm = test.truth[seen], test.mm[seen]

    def distances(a: FloatArray, b: FloatArray) -> FloatArray:
        away: FloatArray = np.linalg.norm((a - b) * mm, axis=1)
        return away

    moved = distances(xy8, xy)
    return Gate(
        pictures=int(seen.sum()),
        error_mm=float(distances(xy, truth).mean()),
        error_int8_mm=float(distances(xy8, truth).mean()),
        moved_mm=float(moved.mean()),
        moved_most_mm=float(moved.max()),
    )


def positions(card: WeightCard, sample: Sample, backend: Backend) -> FloatArray:
    """Return where a backend sees the MTJ, (n, 2) as (x, y) in network pixels."""
    fitted = Decoding.from_card(card.decoding)
    found = np.empty_like(sample.truth)
    for i in range(len(found)):
        output = backend.infer(sample.pixels[i : i + 1], content=sample.content(i))
        found[i] = observe(output, fitted, card.input_height, card.input_width)[0].xy[0]
    return found


def _clips(seed: int) -> list[PhantomClip]:
    count = CALIBRATION_SUBJECTS if seed == CALIBRATION_SEED else TEST_SUBJECTS
    return [
        subject.clip(number % 2, n_frames=LENGTH)
        for number, subject in enumerate(subjects(count, seed))
    ]


def _packed(card: WeightCard) -> Export:
    """Draw the pictures."""
    files = {}
    for name, seed in (("calibration", CALIBRATION_SEED), ("test", TEST_SEED)):
        rows = [row for clip in _clips(seed) for row in _drawn(card, clip)]
        buffer = BytesIO()
        fields = ("pixels", "contents", "truth", "mm")
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
        arrays: dict[str, Any] = dict(zip(fields, columns, strict=True))
        np.savez_compressed(buffer, **arrays)
        files[f"{name}.npz"] = buffer.getvalue()
    return Export(files, {})


def _drawn(card: WeightCard, clip: PhantomClip) -> list[tuple[Any, ...]]:
    """Return pixels, content, truth and scale of some frames of a clip."""
    assert clip.roi is not None  # of a phantom both are known
    assert clip.scale is not None
    placed = PixelMap.fit(
        clip.roi, card.input_height, card.input_width, clip.scale, stretch=card.stretch
    )
    rows, columns = placed.content
    content = np.array([rows.start, rows.stop, columns.start, columns.stop])
    mm = np.array([clip.scale.x_mm, clip.scale.y_mm]) / placed.factors
    frames = np.linspace(0, LENGTH - 1, FRAMES + 2)[1:-1].round().astype(int).tolist()
    truth = placed.to_network(clip.truth[frames])
    return [
        (to_network_input(clip.read(frame)[clip.roi.slices], placed), content, truth[i], mm)
        for i, frame in enumerate(frames)
    ]
