"""What the papers report, as constants: for printing beside one's own figures, never for computing.

P20: Leitner, Jarolim, Konrad, Kruse, Tilp, Schroettner, Baumgartner, "Automatic Tracking of the
Muscle Tendon Junction in Healthy and Impaired Subjects using Deep Learning", IEEE EMBC 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

P20 = "Leitner et al., IEEE EMBC 2020, doi:10.1109/EMBC44109.2020.9176145"

#: The test set of P20: real images, subjects that are in neither training nor validation.
P20_TEST = "12 subjects, 127 videos, 1147 frames, healthy and with cerebral palsy; real images"


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A row of P20's Table IV. `sd_mm` is a mean of the SDs of batches, not the pooled SD."""

    name: str
    mean_mm: float
    sd_mm: float
    valid_percent: float
    rms_percent: float


#: P20, Table IV.
TABLE_IV: tuple[PublishedModel, ...] = (
    PublishedModel("VGG16", 2.66, 1.24, 86.14, 4.46),
    PublishedModel("ResNet50", 4.37, 1.63, 70.62, 7.13),
    PublishedModel("VGG-Attention-2", 4.98, 1.64, 64.25, 7.48),
    PublishedModel("VGG-Attention-3", 2.55, 1.00, 88.32, 3.75),
)


@dataclass(frozen=True, slots=True)
class PublishedStudy:
    """A row of P20's Table III, as words; "-" where the study gives none."""

    study: str
    healthy: int
    impaired: int
    movements: str
    method: str
    error: str
    seconds_per_200: str


#: P20, Table III, all on real images, each study on its own.
TABLE_III: tuple[PublishedStudy, ...] = (
    PublishedStudy(
        "Cenni et al. 2019",
        20,
        12,
        "stretching, walking",
        "optical flow",
        "1.7 ± 1.9 to 20.5 ± 5.6 mm",
        "11 to 14",
    ),
    PublishedStudy("Zhou et al. 2018", 10, 0, "ROM", "optical flow", "-", "400 to 600"),
    PublishedStudy(
        "Lee et al. 2008",
        5,
        0,
        "ROM",
        "optical flow",
        "RMSE 5.9 ± 1.8 to 7.9 ± 2.4 %",
        "-",
    ),
    PublishedStudy(
        "P20 (Leitner et al. 2020)",
        79,
        28,
        "MVC, ROM",
        "VGG-Attention-3",
        "2.55 ± 1.00 mm",
        "1.5",
    ),
)

#: P20, Fig. 2B, VGG-Attention-3: radius in mm and percent of frames within, read off by eye.
FIG_2B: tuple[tuple[float, float], ...] = (
    (1.0, 22.0),
    (2.0, 50.0),
    (3.0, 69.0),
    (4.0, 80.0),
    (5.0, 88.0),
    (6.0, 93.0),
    (8.0, 98.0),
    (10.0, 99.0),
)

#: What is known not to fit together in P20; said wherever its numbers are printed.
INCONSISTENCIES: tuple[str, ...] = (
    "The ± of P20's errors is a mean of the SDs of batches. The pooled SD implied by the authors' "
    "own mean squared error is 2.14 mm for VGG-Attention-3 (RMS error 3.33 mm, median about "
    "2.0 mm), so its 2.55 ± 1.00 mm reads 2.55 ± 2.14 mm beside the pooled SDs given here.",
    "Training and validation are 7200 and 800 frames in P20's Table II, 6400 and 1600 in its "
    "discussion.",
    "The batch is 32 frames in the paper, 16 in the authors' script.",
    "The published attention models use the dot product as compatibility; one of the authors' "
    "scripts has the parametrised form.",
)
