"""Telling pictures that look like none that a model is meant for.

By the network's pooled features a picture is more like calves with their MTJ in view, or more
like everything else that is seen on screens. The numbers for that travel in the weights file;
`training.fit_out_of_distribution` fits them. Colour is told when a file is opened (`video.grey`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import WeightsError

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource
    from napari_deepmtj.weights.store import Model

FloatArray = npt.NDArray[np.float64]

#: Share of held-out pictures of what a model is meant for that are called unfamiliar, of the source
#: whose pictures most often are.
CALLED_WRONGLY = 0.08

#: Share of a clip's frames from which on a person is told: several times of what chance does.
TOLD_FROM = 0.05

#: Share of a clip's first picture in strong colours from which on a person is told. Marks and
#: writing of scanners' screens have less.
COLOURED = 0.02


@dataclass(frozen=True)
class Familiar:
    """What a model is meant for, by k directions in the space of its F features.

    The score of a picture is the log of how much likelier its features are among other pictures
    than among calves with the MTJ in view, both Gaussian, up to a constant; with one direction and
    equal spreads it is linear, see `linear`.

    Parameters
    ----------
    axes : ndarray of float32, shape (k, F)
        Directions; k coordinates y of a picture are axes @ features.
    known, other : ndarray of float32, shape (k, k + 1)
        For calves and for all else, W and w such that |W y - w|^2 is the squared Mahalanobis
        distance.
    limit : ndarray of float32, shape (1,)
        Pictures with a score above are unfamiliar.
    """

    axes: npt.NDArray[np.float32]
    known: npt.NDArray[np.float32]
    other: npt.NDArray[np.float32]
    limit: npt.NDArray[np.float32]

    @classmethod
    def of(cls, model: Model) -> Self | None:
        """Return that of a model; None if its file has none, and it cannot tell.

        Raises
        ------
        WeightsError
            If the file has something else.
        """
        if not model.familiar:
            return None
        names = {field.name for field in fields(cls)}
        parts = model.familiar
        k = len(parts["axes"]) if "axes" in parts and parts["axes"].ndim == 2 else 0
        shapes = {"axes": (k, -1), "known": (k, k + 1), "other": (k, k + 1), "limit": (1,)}
        fits = names == set(parts) and all(
            len(shape) == parts[name].ndim
            and all(a in (b, -1) or b == -1 for a, b in zip(parts[name].shape, shape, strict=True))
            for name, shape in shapes.items()
        )
        if not fits:
            raise WeightsError(
                f"what the model {model.card.id} has to tell unknown pictures by is not what this "
                "version reads; update napari-deepmtj"
            )
        return cls(**parts)

    @classmethod
    def linear(cls, weights: FloatArray, bias: float) -> Self:
        """Return that whose score is weights @ features + bias, (F,) and a number; limit 0."""
        known, other = [[1.0, -0.5 - bias]], [[1.0, 0.5 - bias]]
        parts = ([weights], known, other, [0.0])
        return cls(*(np.array(part, dtype=np.float32) for part in parts))

    def with_limit(self, limit: float) -> Self:
        """Return the same with another limit."""
        return replace(self, limit=np.array([limit], dtype=np.float32))

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the numbers by name, for `weights.store.save_model`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def score(self, features: npt.NDArray[Any]) -> FloatArray:
        """Return how much more like other pictures these are, shape (B,).

        Parameters
        ----------
        features : ndarray, shape (B, F)
            `NetworkOutput.features`.
        """
        y = features.astype(np.float64) @ self.axes.T.astype(np.float64)
        known, other = (
            np.square(y @ part[:, :-1].T.astype(np.float64) - part[:, -1]).sum(axis=1)
            for part in (self.known, self.other)
        )
        found: FloatArray = 0.5 * (known - other)
        return found

    def strange(self, features: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Whether pictures are unlike what the model is meant for, shape (B,)."""
        found: npt.NDArray[np.bool_] = self.score(features) > self.limit[0]
        return found

    def summary(self) -> Mapping[str, float]:
        """Return what the record of a result says of it."""
        return {"limit": round(float(self.limit[0]), 4)}


def notice_of(strange: npt.NDArray[np.bool_], frames: range) -> str | None:
    """Return what a person must be told of a clip's unfamiliar frames; None if they are few.

    Parameters
    ----------
    strange : ndarray of bool, shape (n,)
        Of the first n of `frames`.
    frames : range
        Their numbers.
    """
    rows = np.flatnonzero(strange)
    if not len(rows) or len(rows) < TOLD_FROM * len(strange):
        return None
    return (
        f"{len(rows)} of {len(strange)} frames, from frame {frames[int(rows[0])]} on, look like "
        "nothing that the model is meant for: other anatomy, the probe off the skin, Doppler or "
        "a photograph; do not believe positions there (flag `unfamiliar`)"
    )


def colour_notice(source: VideoSource) -> str | None:
    """Return what a person must be told of a clip's colours; None if there are few."""
    share = source.metadata.get("coloured")
    if share is None or share < COLOURED:
        return None
    return (
        f"{share:.0%} of the first picture of {source.name} are in strong colours, which are read "
        "as grey; if it is colour Doppler, do not believe positions in it"
    )
