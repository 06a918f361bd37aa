"""Families of phantom scenes: the ranges that each is drawn from, and what else sets it apart.

Networks that learned from one family alone, whichever it was, were the worst on real pictures:
variety counts for more than the looks of any one. A recipe gives each family its share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_deepmtj.errors import DeepMTJError

#: Lowest and highest value of what is drawn.
Range = tuple[float, float]


@dataclass(frozen=True)
class Texture:
    """Textures in dB that only some families have, see `clutter`.

    Parameters
    ----------
    sheet_db, fleck_db, patch_db : Range
        Bright sheets along the fibres, short flecks, and patches of the soleus.
    shadow_db : Range
        Shadows from the skin downwards, a share of pictures each.
    fade_db : Range
        Loss towards the picture's lower edge.
    fascia : float
        Chance of each of two fasciae that meet the superficial aponeurosis as a second wedge.
    speckle : Range
        Share of speckle in the picture, in dB; the rest is the tissue's mean.
    """

    sheet_db: Range = (2.0, 12.0)
    fleck_db: Range = (0.0, 11.0)
    patch_db: Range = (0.0, 4.0)
    shadow_db: Range = (4.0, 26.0)
    fade_db: Range = (0.0, 16.0)
    fascia: float = 0.5
    speckle: Range = (0.22, 0.8)


@dataclass(frozen=True)
class Family:
    """One family; lengths in mm, the defaults are those of "fine".

    Parameters
    ----------
    name : str
        By which recipes know it.
    width_mm, tip : Range
        Width of the picture, and x of the tip as a share of it.
    shallowest : float
        Least depth of the superficial aponeurosis at the tip, as a share of the picture's: whoever
        scans does not let the junction lie on the picture's edge.
    superficial_mm, deep_mm, tendon_more_mm, tendon_thin, tendon_fade_mm : Range
        Of the aponeuroses, and of the free tendon, see `anatomy.Scene`; `tendon_more_mm` is by
        how much the tendon is thicker than the deep aponeurosis.
    wedge_slope, wedge_mm, wedge_power : Range
        Of the wedge, see `anatomy.Scene`.
    wild : float
        Share of pictures whose tissue is drawn from the whole of the ranges; at a tenth, some have
        a junction that nobody can see.
    axial, lateral : float
        Factors on the scanners' point spread.
    line_db : Range
        How much brighter than the muscle the aponeuroses are.
    steep_loss, most_loss_db : Range, float
        dB lost per squared slope where a line does not lie across the beam, and at most.
    patchy_db : Range
        How far a line's brightness varies along it.
    perimysium_db, perimysium_turn : Range
        Brightness of the tissue between fascicles above the muscle, and its angle as a multiple
        of the fibres'.
    perimysium_rarity, perimysium_mm : Range
        How rare its streaks are, and how thick.
    woven : Range or None
        How far strands show in them; None draws them smooth.
    beam_smoothing : bool
        Whether noise and speckle reduction are those of a scanner's fine samples, which are
        smoothed across the beam; otherwise those of pixels, smoothed strongly both ways.
    texture : Texture or None
        Sheets, flecks, fasciae and shadows in place of the perimysium.
    """

    name: str
    width_mm: Range = (38.0, 100.0)
    tip: Range = (0.10, 0.96)
    shallowest: float = 0.06
    superficial_mm: Range = (0.4, 1.4)
    deep_mm: Range = (0.6, 1.8)
    tendon_more_mm: Range = (0.3, 3.5)
    tendon_thin: Range = (0.0, 0.05)
    tendon_fade_mm: Range = (3.0, 22.0)
    wedge_slope: Range = (0.2, 0.6)
    wedge_mm: Range = (5.0, 22.0)
    wedge_power: Range = (0.75, 1.25)
    wild: float = 0.05
    axial: float = 1.0
    lateral: float = 1.0
    line_db: Range = (10.0, 24.0)
    steep_loss: Range = (10.0, 60.0)
    most_loss_db: float = 12.0
    patchy_db: Range = (1.0, 3.5)
    perimysium_db: Range = (6.0, 23.0)
    perimysium_turn: Range = (0.6, 1.3)
    perimysium_rarity: Range = (-0.8, 0.7)
    perimysium_mm: Range = (0.26, 0.6)
    woven: Range | None = (0.2, 0.8)
    beam_smoothing: bool = True
    texture: Texture | None = None


#: Fine texture, and junctions that a reader could point at.
FINE = Family("fine")

#: The first family: flat wedges as well as steep ones, aponeuroses that are lost where they run
#: steeply, and strong smoothing; a junction may lie at the picture's edge.
WIDE = Family(
    "wide",
    width_mm=(42.0, 105.0),
    tip=(0.06, 0.97),
    shallowest=0.0,
    superficial_mm=(0.35, 1.3),
    deep_mm=(0.45, 1.7),
    wedge_slope=(0.14, 0.5),
    wedge_power=(0.78, 1.5),
    wild=0.1,
    axial=1.15,
    lateral=1.25,
    line_db=(8.0, 23.0),
    steep_loss=(15.0, 110.0),
    most_loss_db=18.0,
    patchy_db=(1.0, 4.5),
    perimysium_db=(2.0, 19.0),
    perimysium_turn=(0.4, 1.1),
    perimysium_rarity=(-0.6, 0.9),
    perimysium_mm=(0.22, 0.55),
    woven=None,
    beam_smoothing=False,
)

#: Thin lines, blunt tips and thick tendons among sheets, flecks, shadows and fasciae that form
#: wedges of their own; speckle is partly averaged away, as by a scanner's compounding.
CLUTTERED = replace(
    WIDE,
    name="cluttered",
    width_mm=(45.0, 115.0),
    superficial_mm=(0.25, 0.8),
    deep_mm=(0.3, 1.0),
    tendon_more_mm=(0.5, 4.5),
    tendon_thin=(0.0, 0.12),
    tendon_fade_mm=(1.0, 8.0),
    wedge_slope=(0.1, 0.5),
    wedge_mm=(6.0, 26.0),
    wedge_power=(0.42, 1.2),
    wild=0.08,
    line_db=(6.0, 22.0),
    steep_loss=(10.0, 60.0),
    texture=Texture(),
)

FAMILIES: dict[str, Family] = {family.name: family for family in (FINE, WIDE, CLUTTERED)}


def family_of(name: str) -> Family:
    """Return the family of a name.

    Raises
    ------
    DeepMTJError
        If there is none.
    """
    if name not in FAMILIES:
        raise DeepMTJError(f"no family of scenes {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]
