"""Which attention maps each network gives, by name; no torch, so that a form can list them.

A name's number counts down from full resolution, as P20 counts the depths at which it attends:
1 is the finest map that the network can give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: The map that `combine` of `inference.attention` makes of the two coarsest.
COMBINED = "combined"


@dataclass(frozen=True, slots=True)
class MapNames:
    """The attention maps of one network.

    Parameters
    ----------
    names : tuple of str
        One for each map of `NetworkOutput.attention`, in its order, coarse to fine.
    kind : {"share", "gate"}
        What the values are: shares of the attention (J18's softmax), which sum to 1 over a map,
        or gates, each 0 (closed) to 1 (open) for itself.
    """

    names: tuple[str, ...] = ()
    kind: Literal["share", "gate"] = "gate"

    @property
    def choices(self) -> tuple[str, ...]:
        """What may be asked for: the combined map first, then fine to coarse."""
        combined = (COMBINED,) if len(self.names) > 1 else ()
        return (*combined, *self.names[::-1])

    def unit(self, which: str) -> str:
        """Return what the values of a map are, in words."""
        product = which == COMBINED
        if self.kind == "share":
            return "product of two shares" if product else "share of the attention; a map sums to 1"
        return "product of two gates, 0 to 1" if product else "gate, 0 (closed) to 1 (open)"


def maps_of(network: str, arguments: Mapping[str, Any]) -> MapNames:
    """Return the maps of a network, by name and arguments as weight cards have them.

    A network without attention, or unknown here, has none.
    """
    if network == "vgg-attention":
        attended = int(arguments.get("levels", 3))
        return MapNames(tuple(f"level-{number}" for number in (3, 2, 1)[:attended]), "share")
    gates = {"attention-unet": 4, "compact": 2}.get(network, 0)
    return MapNames(tuple(f"gate-{number}" for number in range(gates, 0, -1)), "gate")
