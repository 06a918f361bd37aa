"""A clip with more local contrast, to look at while labelling; its grey levels measure nothing."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np
import numpy.typing as npt

from napari_deepmtj.video.opening import VideoSource
from napari_deepmtj.video.source import BaseSource

UInt8Array = npt.NDArray[np.uint8]

#: Limit of contrast, 0..1, of scikit-image's equalisation, and its default. With twice as much,
#: speckle looked as loud as the aponeuroses, on a real still and on the demonstration's clip.
CLIP_LIMIT = 0.01

#: Frames that are kept, so that looking back costs nothing.
KEPT = 16


def local_contrast(picture: UInt8Array) -> UInt8Array:
    """Return a picture after contrast-limited adaptive histogram equalisation.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W)
        Grey levels; not altered.
    """
    from skimage.exposure import equalize_adapthist

    if picture.min() == picture.max():
        return picture.copy()
    grey: UInt8Array = np.rint(255 * equalize_adapthist(picture, clip_limit=CLIP_LIMIT)).astype(
        np.uint8
    )
    return grey


class ContrastSource(BaseSource):
    """A clip whose frames have more local contrast, made when they are read.

    Parameters
    ----------
    source : VideoSource
        The clip, which stays as it is and is not closed with this.
    """

    def __init__(self, source: VideoSource) -> None:
        super().__init__(source.name, None, source.height, source.width, source.times)
        self._source = source
        self._made: OrderedDict[int, UInt8Array] = OrderedDict()
        self._lock = Lock()

    def _read(self, frame: int) -> UInt8Array:
        with self._lock:
            if frame not in self._made:
                self._made[frame] = local_contrast(self._source.read(frame))
                if len(self._made) > KEPT:
                    self._made.popitem(last=False)
            return self._made[frame]
