"""The parts of a recipe for labelled frames: network, loss, optimiser, schedule, augmentation.

Numbers and what they mean; what is done with them is in `losses`, `optimise` and `batches`. No
torch here, so that recipes can be listed without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.weights.cards import NORMALISATIONS, WeightCard


@dataclass(frozen=True)
class Network:
    """What learns.

    Parameters
    ----------
    name : str
        For `networks.build.build`.
    height, width : int
        Of its input in pixels.
    normalisation : str
        One of `weights.cards.NORMALISATIONS`.
    arguments : mapping
        For `networks.build.build`.
    initial : {"keras", "torch"}
        Whose first weights and whose memory of batch norm: those of Keras, in which P20 and P21
        trained, are Glorot's uniform kernels, biases of 0 and a momentum of 0.99.
    stretch : bool
        As in `WeightCard`.
    """

    name: str
    height: int
    width: int
    normalisation: str = "minus-one-one"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    initial: Literal["keras", "torch"] = "torch"
    stretch: bool = False

    def __post_init__(self) -> None:
        if self.initial not in ("keras", "torch"):
            raise DeepMTJError(f"initial weights {self.initial!r} are unknown")
        if self.normalisation not in NORMALISATIONS:
            raise DeepMTJError(f"the normalisation {self.normalisation!r} is unknown")

    @classmethod
    def of_card(cls, card: WeightCard) -> Network:
        """Return the network of a trained model."""
        return cls(
            card.network,
            card.input_height,
            card.input_width,
            card.normalisation,
            dict(card.network_arguments),
            stretch=card.stretch,
        )


@dataclass(frozen=True)
class Coordinates:
    """Loss of P20's regressors, Eq. 1: 1/5 * (4 (x - x^)^2 + (y - y^)^2), mean over the batch.

    Parameters
    ----------
    x_weight, y_weight : float
        The 4 and the 1; their sum is the divisor.
    label_width : float
        Width in pixels of the crop in which labels are scaled to 0..1, between the centres of
        its first and last pixels; a label outside the crop is clamped to its border.
    """

    x_weight: float = 4.0
    y_weight: float = 1.0
    label_width: float = 512.0


@dataclass(frozen=True)
class SoftLabel:
    """Loss of P21's U-Net: cross-entropy on a Gaussian of peak 1, weighted.

    Parameters
    ----------
    sigma_px : float
        Of the Gaussian, in input pixels.
    background : float
        Weight of the term that says "not here".
    """

    sigma_px: float = 5.0
    background: float = 0.1


@dataclass(frozen=True)
class Heatmap:
    """Loss of the default network; see `losses.heatmap_loss`."""

    sigma_px: float
    presence_weight: float = 0.5


Loss: TypeAlias = Coordinates | SoftLabel | Heatmap


def loss_of_card(card: WeightCard) -> Loss:
    """Return the loss by which a trained model goes on learning."""
    if card.network == "compact":
        from napari_deepmtj.inference.decode import Decoding  # it brings torch

        return Heatmap(Decoding.from_card(card.decoding).target_sigma_px)
    if card.network == "attention-unet":
        return SoftLabel(card.decoding.get("target_sigma_px", SoftLabel.sigma_px))
    return Coordinates(label_width=card.decoding.get("label_width", card.input_width))


@dataclass(frozen=True)
class Optimiser:
    """How weights follow gradients.

    Parameters
    ----------
    kind : {"adamw", "adam", "sgd"}
        AdamW (Loshchilov and Hutter 2019), Adam (Kingma and Ba 2015), or gradient descent.
    learning_rate : float
        Before the schedule.
    momentum : float
        Of "sgd".
    epsilon : float
        Of "adam" and "adamw".
    l2 : float
        Weight decay as Keras means it: l2 * (sum of squares of the kernels) is added to the loss
        (and to the gradient 2 * l2 * kernel), for every convolution and every dense layer, not
        for biases nor batch norm.
    decay : float
        Weight decay of "adamw", apart from the loss, for every parameter.
    clip_norm : float
        Longest gradient; 0 for any.
    """

    kind: Literal["adamw", "adam", "sgd"]
    learning_rate: float
    momentum: float = 0.0
    epsilon: float = 1e-8
    l2: float = 0.0
    decay: float = 0.0
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("adamw", "adam", "sgd"):
            raise DeepMTJError(f"the optimiser {self.kind!r} is unknown")
        if self.decay and self.kind != "adamw":
            raise DeepMTJError(f"{self.kind} has no decay apart from the loss; give l2")
        if self.momentum and self.kind != "sgd":
            raise DeepMTJError(f"{self.kind} takes no momentum")


@dataclass(frozen=True)
class Steps:
    """The rate times `factor` after every `every` epochs."""

    factor: float
    every: float

    def share(self, epoch: float, epochs: int) -> float:
        """Return the rate after `epoch` of `epochs` epochs, as a share of the first one."""
        del epochs  # the rhythm is fixed
        # A hair later, so that 25 thirds of an epoch, thrice, are 25 epochs.
        return float(self.factor ** math.floor(epoch / self.every + 1e-9))

    def scaled(self, share: float) -> Steps:
        """Return the schedule of a run `share` times as long."""
        return Steps(self.factor, self.every * share)


@dataclass(frozen=True)
class Cosine:
    """A linear rise over the first `warm_up` of the run, then a cosine down to zero."""

    warm_up: float

    def share(self, epoch: float, epochs: int) -> float:
        """Return the rate after `epoch` of `epochs` epochs, as a share of the highest one."""
        done = epoch / epochs
        if done < self.warm_up:
            return done / self.warm_up
        return 0.5 * (1 + math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up)))

    def scaled(self, share: float) -> Cosine:
        """Return itself: it is in proportion to the run already."""
        del share
        return self


Schedule: TypeAlias = Steps | Cosine


@dataclass(frozen=True)
class Affine:
    """Turn, mirror, zoom, shift and shear, as Keras' ImageDataGenerator means its ranges.

    Parameters
    ----------
    rotation_deg, shear_deg : float
        At most so far either way, in degrees (Keras' `shear_range` is an angle, too).
    zoom : float
        Factors on x and y between 1 - zoom and 1 + zoom.
    shift : float
        At most this share of width and height either way.
    flips : bool
        Left and right, and top and bottom, each in half of the pictures.
    """

    rotation_deg: float
    shear_deg: float
    zoom: float
    shift: float
    flips: bool


@dataclass(frozen=True)
class Scanner:
    """What scanners, codecs and crops do (`augment.augment`), drawn in by `strength`."""

    strength: float


Augmentation: TypeAlias = Affine | Scanner

#: Names in a recipe's TOML, under `kind`.
LOSSES: Mapping[str, type[Any]] = {
    "coordinates": Coordinates,
    "soft-label": SoftLabel,
    "heatmap": Heatmap,
}
SCHEDULES: Mapping[str, type[Any]] = {"steps": Steps, "cosine": Cosine}
AUGMENTATIONS: Mapping[str, type[Any]] = {"affine": Affine, "scanner": Scanner}
