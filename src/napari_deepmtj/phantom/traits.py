"""In what a subject differs from those that `sample_scenes` and `course` draw.

The phantom cohort's impaired-like subjects have other traits; who belongs to it is `study`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from napari_deepmtj.phantom.anatomy import Scene

#: Ranges of the traits of impaired-like subjects. P20 (doi:10.1109/EMBC44109.2020.9176145) says
#: that its 28 subjects with cerebral palsy are harder, not by how much: these are our choice.
FAT = (1.4, 2.4)
REACH = (0.35, 0.75)
PACE = (0.35, 0.70)
CONTRAST = (0.40, 0.75)
#: Deepest superficial aponeurosis, as a share of the picture's depth, that fat may make: the
#: junction stays in the picture, as it does when a person sets the scanner's depth.
DEEPEST = 0.5


@dataclass(frozen=True)
class Traits:
    """Factors on what is drawn for a subject; 1 leaves it exactly as it was drawn.

    Parameters
    ----------
    fat : float
        On the thickness of the subcutaneous fat.
    reach, pace : float
        On how far and how fast the junction moves, see `motion.course`.
    contrast : float
        On how far tissues differ in dB, see `materials.Materials`.
    """

    fat: float = 1.0
    reach: float = 1.0
    pace: float = 1.0
    contrast: float = 1.0

    def of_scene(self, scene: Scene, aspect: float) -> Scene:
        """Return scenes with this subject's fat; `aspect` is height over width of the picture."""
        if self.fat == 1.0:
            return scene
        fascia = scene.skin_mm + self.fat * (scene.fascia_mm - scene.skin_mm)
        deepest = torch.maximum(DEEPEST * aspect * scene.width_mm, scene.fascia_mm)
        return replace(scene, fascia_mm=torch.minimum(fascia, deepest))


#: As drawn.
TYPICAL = Traits()


def impaired(rng: np.random.Generator) -> Traits:
    """Draw the traits of an impaired-like subject."""
    return Traits(
        fat=float(rng.uniform(*FAT)),
        reach=float(rng.uniform(*REACH)),
        pace=float(rng.uniform(*PACE)),
        contrast=float(rng.uniform(*CONTRAST)),
    )
