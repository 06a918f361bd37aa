"""Attention laid over a picture: where the network looked, as one colour that grows denser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.inference.attention import Display, display_of
from napari_deepmtj.results.attention_file import AttentionInfo, read_attention

if TYPE_CHECKING:
    from PIL.Image import Image

#: Colour of the overlay (Okabe and Ito 2008, as the others), and how dense it becomes at most.
COLOUR = (230, 159, 0)
OPACITY = 0.6


@dataclass(frozen=True)
class Overlay:
    """The maps of a clip, and one way to show them all.

    Attributes
    ----------
    maps : ndarray of float32, shape (n, h, w)
        Small: the size of the network's map, not of the picture.
    info : AttentionInfo
        Which frames they are of and where they lie.
    display : Display
        Which value is clear and which has the full colour.
    """

    maps: npt.NDArray[np.float32]
    info: AttentionInfo
    display: Display

    @classmethod
    def read(cls, path: str | Path, trajectory: Trajectory) -> Self:
        """Read the stack that was written beside a result.

        Raises
        ------
        ResultError
            If there is none, or it has no map of any frame of the trajectory.
        """
        path = Path(path)
        if not path.exists():
            raise ResultError(
                f"there are no attention maps of {trajectory.provenance.clip}; track it again "
                "with --attention",
                path=path,
            )
        maps, info = read_attention(path)
        if not set(info.frames) & set(trajectory.frames.tolist()):
            raise ResultError("has maps of other frames than the result; track again", path=path)
        return cls(maps, info, display_of(maps, "gate" if "gate" in info.unit else "share"))

    def alpha(self, frame: int) -> npt.NDArray[np.float32] | None:
        """Return how dense each pixel of a frame's map is, 0 to 1; None without a map."""
        if frame not in self.info.frames:
            return None
        values = self.maps[self.info.frames.index(frame)]
        low, high = self.display.low, self.display.high
        share: npt.NDArray[np.float32] = np.clip((values - low) / (high - low), 0, 1)
        return np.asarray(share**self.display.gamma, dtype=np.float32)

    def on(self, image: Image, frame: int, zoom: int) -> Image:
        """Return a picture, RGB and `zoom` times enlarged, with the map of its frame over it.

        Between the map's pixels it is interpolated linearly; beyond its outermost ones clear.
        """
        from PIL import Image

        alpha = self.alpha(frame)
        if alpha is None:
            return image
        (step_y, step_x), (y, x) = self.info.step, self.info.origin
        # Pillow counts from the corner of a pixel, we from its centre.
        across = (1 / (zoom * step_x), 0.0, 0.5 - (x + 0.5) / step_x)
        down = (0.0, 1 / (zoom * step_y), 0.5 - (y + 0.5) / step_y)
        mask = Image.fromarray(np.round(alpha * OPACITY * 255).astype(np.uint8)).transform(
            image.size, Image.Transform.AFFINE, (*across, *down), Image.Resampling.BILINEAR
        )
        return Image.composite(Image.new("RGB", image.size, COLOUR), image, mask)
