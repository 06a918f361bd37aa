"""Made-up scanners: point spread, field of view and what the screen does to the echoes.

Styles are drawn once, from fixed seeds, in three sets that share none: to train on, to fit the
confidence on, and to test on. What a person turns on a scanner varies about each style.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Literal, Self, TypeAlias

import torch
from torch import Tensor

#: Which devices: those that recipes train on, that confidences are fitted on, that tests use.
StyleSet: TypeAlias = Literal["training", "calibration", "test"]

#: How many styles of each family a set has, and the seed they are drawn from.
_SETS: dict[str, tuple[int, int]] = {
    "training": (16, 6101),
    "calibration": (4, 6102),
    "test": (1, 6103),
}

#: Ranges of the numbers of a style; `Device` says what they are. Frequencies from 5 to 15 MHz
#: resolve 0.1 to 0.3 mm along the beam; the rest was read from the looks of published pictures.
_ANY: dict[str, tuple[float, float]] = {
    "axial_mm": (0.07, 0.19),
    "lateral_mm": (0.19, 0.48),
    "spread": (1.2, 2.4),
    "focus": (0.15, 0.70),
    "compound": (0.0, 0.67),
    "noise_db": (-52.0, -32.0),
    "window_db": (44.0, 70.0),
    "headroom_db": (0.0, 9.0),
    "smooth": (0.25, 0.9),
    "edge": (0.0, 0.6),
    "median": (0.07, 0.38),
    "lift": (0.0, 0.04),
    "fan": (0.0, 0.0),
    "persistence": (0.0, 0.3),
}

#: What sets families apart, after the looks of machines of the field; "cart" as Esaote's,
#: "desktop" as Telemed's, "shear" as the Aixplorer, "hand" as Clarius' hand-held probes.
FAMILIES: dict[str, dict[str, tuple[float, float]]] = {
    "cart": {"edge": (0.1, 1.1), "smooth": (0.2, 0.7), "median": (0.10, 0.30)},
    "desktop": {
        "axial_mm": (0.10, 0.24),
        "lateral_mm": (0.27, 0.58),
        "compound": (0.0, 0.2),
        "smooth": (0.15, 0.6),
        "median": (0.04, 0.20),
        "window_db": (40.0, 58.0),
    },
    "shear": {"smooth": (0.6, 1.0), "compound": (0.4, 0.67), "median": (0.16, 0.42)},
    "hand": {
        "smooth": (0.5, 1.0),
        "edge": (0.3, 1.4),
        "noise_db": (-40.0, -27.0),
        "fan": (0.0, 0.10),
        "lift": (0.0, 0.14),
    },
}

#: Numbers whose logarithm is uniform.
_LOGARITHMIC = frozenset({"axial_mm", "lateral_mm", "median"})
#: What a person turns, and how far about the style: log of the median grey, dB of the window.
_MEDIAN_TURN, _WINDOW_TURN = 0.35, 6.0
#: Depth, as a share of the picture's, at which a fan has opened to its full width.
_FAN_DEPTH = 0.9


@dataclass(frozen=True)
class Device:
    """B scanners as they are set; every field is a float32 tensor of shape (B,).

    Parameters
    ----------
    axial_mm, lateral_mm : Tensor
        Standard deviations of the point spread along and across the beam, in focus.
    spread, focus : Tensor
        How many times wider it is across the beam far from the focus, and the depth of the
        focus as a share of the picture's.
    compound : Tensor
        Share of power that comes from beams steered to either side.
    noise_db : Tensor
        Electronic noise.
    window_db : Tensor
        Range of the logarithmic display.
    headroom_db : Tensor
        How far the brightest echoes stay below white.
    smooth, edge : Tensor
        Speckle reduction, 0..1, and edge enhancement.
    median, lift : Tensor
        Median grey that the gain is turned to, and grey of black, both as shares of white.
    fan : Tensor
        Share of the width that is black at either side at the skin, none of it at depth: a
        trapezoid field of view; 0 for a rectangular one.
    persistence : Tensor
        Share of the frame before in each frame.
    """

    axial_mm: Tensor
    lateral_mm: Tensor
    spread: Tensor
    focus: Tensor
    compound: Tensor
    noise_db: Tensor
    window_db: Tensor
    headroom_db: Tensor
    smooth: Tensor
    edge: Tensor
    median: Tensor
    lift: Tensor
    fan: Tensor
    persistence: Tensor

    def __len__(self) -> int:
        return len(self.axial_mm)

    def __getitem__(self, rows: Tensor | slice) -> Self:
        """Return some of the scanners."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@cache
def styles(which: StyleSet) -> Device:
    """Return the styles of a set, each as its maker delivers it."""
    each, seed = _SETS[which]
    rng = torch.Generator().manual_seed(seed)
    drawn: dict[str, list[Tensor]] = {name: [] for name in _ANY}
    for own in FAMILIES.values():
        for name, usual in _ANY.items():
            low, high = own.get(name, usual)
            share = torch.rand(each, generator=rng)
            if name in _LOGARITHMIC:
                drawn[name].append(low * torch.exp(share * math.log(high / low)))
            else:
                drawn[name].append(low + (high - low) * share)
    return Device(**{name: torch.cat(values) for name, values in drawn.items()})


def sample_devices(n: int, rng: torch.Generator, which: StyleSet = "training") -> Device:
    """Draw `n` scanners of a set, with the gain and the window that somebody chose."""
    known = styles(which)
    chosen = known[torch.randint(len(known), (n,), generator=rng)]
    gain, window = (2 * torch.rand(2, n, generator=rng) - 1).unbind()
    return replace(
        chosen,
        median=chosen.median * torch.exp(_MEDIAN_TURN * gain),
        window_db=chosen.window_db + _WINDOW_TURN * window,
    )


def outside_fan(device: Device, across: Tensor, depth: Tensor) -> Tensor:
    """Whether places lie beside a trapezoid field of view.

    Parameters
    ----------
    device : Device
        B scanners.
    across, depth : Tensor, broadcastable to (B, ...)
        Shares of the picture's width and depth.

    Returns
    -------
    Tensor of bool
    """
    fan = device.fan.view(-1, *[1] * (max(across.ndim, depth.ndim) - 1))
    black = fan * (1 - depth / _FAN_DEPTH).clamp(min=0.0)
    return (across < black) | (across > 1 - black)
