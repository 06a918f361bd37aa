"""Where a network looked: one map of the several that it gives, and how to show it.

Values are those of the network, in 32 bit, never scaled frame by frame, so that one frame can be
compared with another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.inference.resize import triangle_weights
from napari_deepmtj.networks.maps import COMBINED, MapNames

if TYPE_CHECKING:
    from napari_deepmtj.weights.cards import WeightCard

FloatArray = npt.NDArray[np.float32]

#: Gamma of the display of shares: P20's authors show the square root.
SHARE_GAMMA = 0.5

#: Share of a typical map that is left clear.
CLEAR = 0.9

#: Frames whose values are looked at for the display, about; every frame's highest is.
SAMPLE = 64


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """Which map of which model.

    Parameters
    ----------
    map : str
        Its name.
    kind : {"share", "gate"}
        See `networks.maps.MapNames`.
    unit : str
        What its values are, in words.
    model, sha256 : str
        Id and hash of the weights; maps of others are not comparable.
    """

    map: str
    kind: str
    unit: str
    model: str
    sha256: str


def wanted_map(card: WeightCard, asked: str | bool) -> AttentionMap | None:
    """Return the map that is meant, None for none.

    Parameters
    ----------
    card : WeightCard
        Of the model.
    asked : str or bool
        One of `card.attention.choices`; True for the first of them, if there is any.

    Raises
    ------
    WeightsError
        If the model has no map of that name.
    """
    choices = card.attention.choices
    if asked is False or (asked is True and not choices):
        return None
    name = choices[0] if asked is True else asked
    if name not in choices:
        offered = ", ".join(choices) or "none, because this network has no attention"
        raise WeightsError(
            f"the model {card.id!r} has no attention map {name!r}; there is: {offered}"
        )
    maps = card.attention
    return AttentionMap(name, maps.kind, maps.unit(name), card.id, card.sha256)


def select(maps: Sequence[npt.ArrayLike], names: MapNames, which: str) -> FloatArray:
    """Return one of a network's maps.

    Parameters
    ----------
    maps : sequence of array-like, each of shape (B, h_k, w_k)
        `NetworkOutput.attention`, coarse to fine.
    names : MapNames
        What they are called.
    which : str
        One of `names.choices`.

    Returns
    -------
    ndarray of float32, shape (B, h, w)
        Raw values over the whole network input; see `MapNames.unit`.

    Raises
    ------
    WeightsError
        If the network gives another number of maps than its name says.
    """
    if len(maps) != len(names.names):
        raise WeightsError(
            f"the network gives {len(maps)} attention maps where {len(names.names)} are known: "
            f"{', '.join(names.names)}"
        )
    if which == COMBINED:
        return combine(maps[0], maps[1])
    return np.asarray(maps[names.names.index(which)], dtype=np.float32)


def combine(coarse: npt.ArrayLike, fine: npt.ArrayLike) -> FloatArray:
    """Combine the last two attention maps as P20 does: at one size, multiplied.

    Last is meant by depth in the network, so these are its two coarsest maps, at the size of the
    finer one (of VGG-Attention-3 the 16 x 32 and the 32 x 64 map). Interpolation is bilinear with
    pixel centres kept; the authors' programs also smooth the enlarged map.

    Parameters
    ----------
    coarse, fine : array-like, shapes (B, h, w) and (B, H, W)

    Returns
    -------
    ndarray of float32, shape (B, H, W)
    """
    small, large = (np.asarray(each, dtype=np.float32) for each in (coarse, fine))
    down, across = (
        np.asarray(triangle_weights(before, after), dtype=np.float32)
        for before, after in zip(small.shape[1:], large.shape[1:], strict=True)
    )
    return np.asarray(large * (down @ small @ across.T), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Display:
    """How maps are shown, one way for all frames.

    Parameters
    ----------
    low, high : float
        Values that are drawn clear, and in full colour.
    top : float
        The highest value of all.
    gamma : float
        Power between them.
    """

    low: float
    high: float
    top: float
    gamma: float


def display_of(maps: npt.ArrayLike, kind: str) -> Display:
    """Choose the display for a run from (some of) its maps.

    All but the highest tenth of a typical map is left clear, so that the picture stays a picture,
    and the highest value of a typical frame has full colour.

    Parameters
    ----------
    maps : array-like, shape (n, h, w)
        Frames without a map, zero throughout, do not count.
    kind : {"share", "gate"}
        Shares are shown by their square root, as P20's authors do; gates as they are.
    """
    values = np.asarray(maps)
    highest = values.max(axis=(1, 2))
    seen = highest > 0
    gamma = SHARE_GAMMA if kind == "share" else 1.0
    if not seen.any():
        return Display(0.0, 1.0, 1.0, gamma)
    some = np.flatnonzero(seen)[:: max(1, seen.sum() // SAMPLE)]
    tenth = [np.quantile(one[one > 0], CLEAR) for one in values[some]]
    low, high = float(np.median(tenth)), float(np.median(highest[seen]))
    return Display(low if low < high else 0.0, high, float(highest.max()), gamma)
