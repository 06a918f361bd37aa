"""Pictures of a real muscle belly turned into a muscle-tendon junction whose place is known.

The deep aponeurosis and all below it are lifted onto the superficial one along a drawn wedge, so
that real speckle, fascicles, fat and soleus show a junction. Clips are `composite_clips`, cropping
and batches `training`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.phantom.anatomy import LABEL, LabelDefinition

FloatArray = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

#: Ending of the picture that masks both aponeuroses of `NAME.jpg`.
MASK_SUFFIX = "_aponeuroses.png"
#: Endings of pictures.
PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"}
#: Millimetres a pixel where nothing is known of a picture: 60 mm wide, as a common linear probe.
COMMON_WIDTH_MM = 60.0
#: A line of a mask that spans less of the picture's width is none of the two aponeuroses.
_LEAST_SPAN = 0.6
#: Over this many mm the lift of deeper tissue is evened out along the picture, so that no crease
#: below the tip gives its place away.
_EVEN_MM = 6.0
#: Thinnest belly that is made into a wedge, mm.
_LEAST_BELLY_MM = 4.0


@dataclass(frozen=True)
class Line:
    """An aponeurosis: its upper and lower edge in every column, pixels, each of shape (width,)."""

    top: FloatArray
    bottom: FloatArray

    @property
    def thickness(self) -> FloatArray:
        """Pixels from edge to edge, shape (width,)."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Belly:
    """A longitudinal picture of a muscle belly, cut to its B-mode picture.

    Parameters
    ----------
    name : str
        Of the file.
    picture : ndarray of uint8, shape (height, width)
        Grey levels.
    superficial, deep : Line
        The aponeuroses.
    mm_per_px : float
        Millimetres a pixel.
    """

    name: str
    picture: UInt8Array
    superficial: Line
    deep: Line
    mm_per_px: float

    def mirrored(self) -> Belly:
        """Return the belly with left and right exchanged."""
        return Belly(
            self.name,
            np.ascontiguousarray(self.picture[:, ::-1]),
            Line(self.superficial.top[::-1], self.superficial.bottom[::-1]),
            Line(self.deep.top[::-1], self.deep.bottom[::-1]),
            self.mm_per_px,
        )


@dataclass(frozen=True)
class Wedge:
    """How a belly is closed; lengths in mm, distal to the right.

    Parameters
    ----------
    tip_mm : float
        x of the place where no muscle is left, from the picture's left side; it may lie beyond.
    slope : float
        Opening of the wedge at its tip, mm per mm: the tangent of its angle.
    power : float
        Its shape: below 1 blunt, above 1 fine.
    keep : float
        Which part of the belly stays in the wedge: 0 the upper, 1 the lower.
    squeeze : float
        How much of the thickness is taken by squeezing the muscle, 0 to 1; the rest is cut.
    overlap : float
        How far the lines run into each other distally, as a share of the superficial one.
    tendon_mm, tendon_length_mm : float
        How much the free tendon is thicker than the deep aponeurosis at the tip, and over what
        distance that is lost distally.
    thicken_mm : float
        How far proximally of the tip the aponeurosis is thickened.
    fibrils : float
        Contrast of the tendon's fibrils, 0 to 1.
    soleus_stays, soleus_reach_mm : float
        Share of the lift that the deepest tissue does not follow, and how deep that takes.
    fascia : float
        Brightness of the superficial line distal of the tip, as a multiple.
    """

    tip_mm: float
    slope: float
    power: float
    keep: float
    squeeze: float
    overlap: float
    tendon_mm: float
    tendon_length_mm: float
    thicken_mm: float
    fibrils: float
    soleus_stays: float
    soleus_reach_mm: float
    fascia: float

    @classmethod
    def sample(cls, belly: Belly, rng: np.random.Generator, *, in_view: bool = True) -> Wedge:
        """Draw a wedge for a belly; one that is not in view closes up to 40 mm beyond a side."""
        width = belly.picture.shape[1] * belly.mm_per_px
        if in_view:
            tip = width * rng.uniform(0.22, 0.95)
        else:
            beyond = rng.uniform(6.0, 40.0)
            tip = width + beyond if rng.random() < 0.5 else -beyond

        def log_uniform(low: float, high: float) -> float:
            return float(np.exp(rng.uniform(np.log(low), np.log(high))))

        return cls(
            tip_mm=float(tip),
            slope=float(np.tan(np.radians(log_uniform(5.0, 20.0)))),
            power=log_uniform(0.7, 1.3),
            keep=float(rng.random()),
            squeeze=float(rng.uniform(0.0, 0.6)),
            overlap=float(rng.uniform(0.0, 1.0)),
            tendon_mm=log_uniform(0.2, 3.0),
            tendon_length_mm=log_uniform(6.0, 60.0),
            thicken_mm=log_uniform(2.0, 12.0),
            fibrils=float(rng.uniform(0.1, 0.5)),
            soleus_stays=float(rng.uniform(0.0, 0.6)),
            soleus_reach_mm=float(rng.uniform(10.0, 30.0)),
            fascia=log_uniform(0.5, 1.1),
        )


@dataclass(frozen=True)
class Composite:
    """A picture with a junction at a known place.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width)
        Grey levels; lower than the belly's by what was lifted, so that nothing is made up below.
    xy : (float, float) or None
        The MTJ in pixels, pixel centres at integers; None where it lies beside the picture.
    mm_per_px : float
        Millimetres a pixel.
    wedge : Wedge
        How it was made.
    """

    picture: UInt8Array
    xy: tuple[float, float] | None
    mm_per_px: float
    wedge: Wedge


def read_grey(path: Path) -> UInt8Array:
    """Return the grey levels of a picture, shape (height, width).

    Raises
    ------
    DeepMTJError
        If it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DeepMTJError(
            "cannot be read as a picture; export it again or take it out of the folder", path=path
        ) from error


def read_belly(
    path: Path, mask: Path, mm_per_px: float | None = None, *, trim_px: int = 3
) -> Belly:
    """Read a picture and the mask of its two aponeuroses.

    Parameters
    ----------
    path, mask : Path
        Pictures of one size; the mask is above mid-grey where an aponeurosis is.
    mm_per_px : float, optional
        Millimetres a pixel; without it the picture is taken to be `COMMON_WIDTH_MM` wide.
    trim_px : int
        Columns left out at either end of the lines: what scanners draw there is no tissue.

    Raises
    ------
    DeepMTJError
        If a file cannot be read, or the mask shows no two lines that span the picture, or hardly
        any muscle between them.
    """
    grey, marked = read_grey(path), read_grey(mask) > 127
    if marked.shape != grey.shape:
        raise DeepMTJError("has another size than its mask; export both alike", path=path)
    parts, n = ndimage.label(ndimage.binary_closing(marked, np.ones((3, 9))))
    boxes = ndimage.find_objects(parts)
    spans = [box[1].stop - box[1].start for box in boxes]
    widest = max(spans, default=0)
    lines = [i for i in range(n) if spans[i] >= _LEAST_SPAN * widest]
    lines.sort(key=lambda i: boxes[i][0].start)
    if len(lines) < 2:
        raise DeepMTJError("its mask shows no two aponeuroses; draw both", path=path)
    upper, lower = lines[:2]
    left = max(boxes[i][1].start for i in (upper, lower))
    right = min(boxes[i][1].stop for i in (upper, lower))
    columns = slice(left + trim_px, right - trim_px)
    rows = _rows_of_picture(grey[:, columns], boxes[upper][0].start, boxes[lower][0].stop)
    superficial, deep = (_edges(parts[rows, columns] == i + 1) for i in (upper, lower))
    scale = COMMON_WIDTH_MM / (right - left) if mm_per_px is None else mm_per_px
    belly = Belly(path.name, grey[rows, columns], superficial, deep, scale)
    between = (belly.deep.top - belly.superficial.bottom) * scale
    if np.quantile(between, 0.1) < _LEAST_BELLY_MM:
        raise DeepMTJError(
            f"less than {_LEAST_BELLY_MM:g} mm of muscle between its lines; leave it out", path=path
        )
    return belly


def read_bellies(folder: Path) -> tuple[list[Belly], list[DeepMTJError]]:
    """Read all pictures of a folder that have a mask, and say why others cannot be used.

    A table `scales.csv` (columns file, mm_per_px) in the folder gives scales.

    Returns
    -------
    bellies : list of Belly
        In the order of their paths.
    unusable : list of DeepMTJError
        One for each mask without a picture or without a usable belly, naming the file.

    Raises
    ------
    DeepMTJError
        If there is none that can be used, or `scales.csv` cannot be read.
    """
    scales = _read_scales(folder / "scales.csv")
    bellies: list[Belly] = []
    unusable: list[DeepMTJError] = []
    for mask in sorted(folder.rglob(f"*{MASK_SUFFIX}")):
        stem = mask.name.removesuffix(MASK_SUFFIX)
        # Not a pattern: a name may hold brackets.
        pictures = sorted(
            path
            for path in mask.parent.iterdir()
            if path.stem == stem and path.suffix.lower() in PICTURES
        )
        if not pictures:
            unusable.append(DeepMTJError("masks a picture that is not beside it", path=mask))
            continue
        try:
            bellies.append(read_belly(pictures[0], mask, scales.get(pictures[0].name)))
        except DeepMTJError as error:
            unusable.append(error)
    if not bellies:
        reason = f"; {unusable[0]}" if unusable else ""
        raise DeepMTJError(
            f"holds no picture with a mask NAME{MASK_SUFFIX} of two aponeuroses{reason}",
            path=folder,
        )
    return bellies, unusable


def _read_scales(table: Path) -> dict[str, float]:
    """Return millimetres a pixel by file name; nothing where there is no table."""
    if not table.exists():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        scales = {row["file"]: float(row["mm_per_px"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise DeepMTJError(
            "needs the columns file and mm_per_px, a number in each row", path=table
        ) from error
    return {name: Scale.isotropic(mm, table.name).x_mm for name, mm in scales.items()}


@dataclass(frozen=True)
class Displacement:
    """How far tissue has moved distally from where the belly was recorded, mm.

    Parameters
    ----------
    muscle_mm : float
        Of the muscle in the wedge, its deep aponeurosis and the tendon.
    soleus_mm : float
        Of all below.
    """

    muscle_mm: float = 0.0
    soleus_mm: float = 0.0


def composite(
    belly: Belly,
    wedge: Wedge,
    rng: np.random.Generator,
    label: LabelDefinition = LABEL,
    *,
    moved: Displacement = Displacement(),
    rows: int | None = None,
) -> Composite:
    """Close a belly along a wedge.

    Parameters
    ----------
    belly : Belly
        The picture.
    wedge : Wedge
        How it is closed, distal to the right.
    rng : numpy.random.Generator
        Draws the tendon's fibrils.
    label : LabelDefinition
        Where the MTJ is: the phantom's definition, its thickness between the masks' edges. These
        lie inside the lines' fuzzy borders, so to the eye the lines have fused a little
        proximally of where the masks touch.
    moved : Displacement
        Tissue is taken from so much further proximally, along the lines, and at the picture's
        sides from its mirror image.
    rows : int, optional
        Height of the picture; by default as high as nothing needs to be made up.
    """
    mm = belly.mm_per_px
    height, width = belly.picture.shape
    upper, lower = belly.superficial, belly.deep
    x = np.arange(width, dtype=float)
    shape = _shape(belly, wedge)
    proximal, belly_px, muscle, top = shape.proximal, shape.belly, shape.muscle, shape.top
    thickness, fade = shape.thickness, shape.fade
    bottom = top + thickness
    lift = lower.bottom - bottom
    if rows is None:
        rows = int(np.floor(height - max(float(lift.max()), 0.0)))
    y = np.arange(rows, dtype=float)[:, None]

    # Skin, fat and superficial aponeurosis stay; of the muscle a part is kept.
    of_muscle, of_soleus = x - moved.muscle_mm / mm, x - moved.soleus_mm / mm
    squeeze = 1.0 + wedge.squeeze * np.minimum(belly_px / np.maximum(muscle, 1.0) - 1.0, 1.0)
    start = wedge.keep * np.maximum(belly_px - muscle * squeeze, 0.0)
    start = start + np.interp(of_muscle, x, upper.bottom)
    inside = y - upper.bottom
    above = np.where(inside < 0, y, start + inside * squeeze)
    # The deep aponeurosis is stretched to the tendon's thickness; what lies below follows.
    depth = y - bottom
    reach = wedge.soleus_reach_mm / mm
    stays = np.minimum(wedge.soleus_stays, 0.6 * reach / np.maximum(1.5 * np.abs(lift), 1.0))
    share = np.clip(depth / reach, 0.0, 1.0)
    evened = ndimage.gaussian_filter1d(lift, _EVEN_MM / mm, mode="nearest")
    follows = lift + (evened - lift) * np.clip(depth * mm / _EVEN_MM, 0.0, 1.0)
    follows = follows * (1.0 - stays * share * share * (3.0 - 2.0 * share))
    stretch = np.interp(of_muscle, x, lower.thickness) / thickness
    band = np.interp(of_muscle, x, lower.top) + (y - top) * stretch
    under = y + follows - lower.bottom + np.interp(of_soleus, x, lower.bottom)

    grey = belly.picture.astype(np.float32)

    def sampled(at: FloatArray, columns: FloatArray) -> FloatArray:
        places = [at.clip(0, height - 1), np.broadcast_to(columns, at.shape)]
        return np.asarray(ndimage.map_coordinates(grey, places, order=1, mode="mirror"), float)

    deep = sampled(np.where(depth < 0, band, under), np.where(depth < 0, of_muscle, of_soleus))
    grain = ndimage.gaussian_filter(
        rng.standard_normal((rows, width)), (0.12 / mm, 2.5 / mm), mode="wrap"
    )
    grain = np.roll(grain, round(moved.muscle_mm / mm), axis=1) / max(float(grain.std()), 1e-9)
    in_tendon = _soft((y - top) * mm / 0.2) * _soft((bottom - y) * mm / 0.2)
    extra = np.clip(wedge.tendon_mm / mm * np.exp(-fade) / thickness, 0.0, 1.0)
    deep *= 1.0 + wedge.fibrils * grain * in_tendon * extra
    shallow = sampled(above, np.where(inside < 0, x, of_muscle))
    line = _soft((y - upper.top) * mm / 0.2) * _soft((upper.bottom - y) * mm / 0.2)
    distal = _soft(-proximal * mm / 3.0)
    shallow *= 1.0 + (wedge.fascia - 1.0) * line * distal
    weight = _soft((y - top) * mm / 0.1)
    picture = shallow + (deep - shallow) * weight
    return Composite(
        np.clip(np.rint(picture), 0, 255).astype(np.uint8),
        mtj_of(belly, wedge, label),
        mm,
        wedge,
    )


def mtj_of(
    belly: Belly, wedge: Wedge, label: LabelDefinition = LABEL
) -> tuple[float, float] | None:
    """Return where the MTJ of a composite is, (x, y) in pixels, None where there is none.

    That is where the muscle is as thick as the label says for the last time before the tip.
    """
    shape = _shape(belly, wedge)
    mm = belly.mm_per_px
    thick = np.flatnonzero(shape.muscle * mm > label.thickness_mm)
    if not len(thick) or thick[-1] == len(shape.muscle) - 1:
        return None
    last = int(thick[-1])
    before, after = shape.muscle[last] * mm, shape.muscle[last + 1] * mm
    x = last + float((before - label.thickness_mm) / max(before - after, 1e-9))
    y = shape.top + label.depth * shape.thickness
    return x, float(np.interp(x, np.arange(len(y)), y))


@dataclass(frozen=True)
class _Shape:
    """The wedge in every column, pixels, each of shape (width,).

    `proximal` is how far proximally of the tip a column lies, `belly` and `muscle` are the
    thickness of the muscle before and after, `top` and `thickness` those of the deep line after,
    `fade` how much of the tendon's extra thickness is lost, as an exponent.
    """

    proximal: FloatArray
    belly: FloatArray
    muscle: FloatArray
    top: FloatArray
    thickness: FloatArray
    fade: FloatArray


def _shape(belly: Belly, wedge: Wedge) -> _Shape:
    mm, upper, lower = belly.mm_per_px, belly.superficial, belly.deep
    x = np.arange(belly.picture.shape[1], dtype=float)
    proximal = wedge.tip_mm / mm - x
    belly_px = np.maximum(lower.top - upper.bottom, 1.0)
    ahead = np.maximum(proximal, 0.0)
    muscle = belly_px * -np.expm1(-((wedge.slope * ahead / belly_px) ** wedge.power))
    fused = wedge.overlap * upper.thickness * -np.expm1(np.minimum(proximal, 0.0) * mm / 3.0)
    fade = mm * np.where(
        proximal > 0, proximal / wedge.thicken_mm, -proximal / wedge.tendon_length_mm
    )
    thickness = lower.thickness + wedge.tendon_mm / mm * np.exp(-fade)
    return _Shape(proximal, belly_px, muscle, upper.bottom + muscle - fused, thickness, fade)


def _soft(offset: FloatArray) -> FloatArray:
    """Return 0 to 1, one half where `offset` is 0."""
    return np.asarray(0.5 * (1.0 + np.tanh(offset)), dtype=float)


def _edges(line: npt.NDArray[np.bool_]) -> Line:
    """Return the smoothed edges of a masked line, shape (height, width), in every column."""
    there = line.any(axis=0)
    x = np.arange(line.shape[1])
    top = line.argmax(axis=0)
    bottom = line.shape[0] - line[::-1].argmax(axis=0)

    def smooth(edge: npt.NDArray[np.intp]) -> FloatArray:
        filled = np.interp(x, x[there], edge[there])
        return np.asarray(ndimage.gaussian_filter1d(filled, 6.0, mode="nearest"), dtype=float)

    return Line(smooth(top), smooth(bottom))


def _rows_of_picture(columns: UInt8Array, above: int, below: int) -> slice:
    """Return the rows around two lines that have tissue in them, not a plain border."""
    tissue = columns.std(axis=1) > 3.0
    tissue[above:below] = True
    closed = ndimage.binary_closing(np.pad(tissue, 9, mode="edge"), np.ones(9))[9:-9]
    parts, _ = ndimage.label(closed)
    inside = np.flatnonzero(parts == parts[(above + below) // 2])
    return slice(int(inside[0]), int(inside[-1]) + 1)
