"""Critics: how well phantom patches can be told from real ones of devices never seen.

Every device of the real side is left out once, and with it a share of the phantoms; what is
trained on the others scores the patches of both. `Fast` is a logistic regression on
`realism_stats`, `Resnet` a residual network on the pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata
from torch import Tensor, nn

from realism_pictures import PHANTOM_STEP, REAL_STEP, Picture
from realism_stats import statistics

Floats = NDArray[np.float64]

#: Training of the network in each fold.
STEPS, BATCH, LEARNING_RATE = 240, 32, 1e-3
#: Strength of the penalty of the regression, on standardised statistics.
RIDGE = 1e-2


@dataclass(frozen=True)
class Patches:
    """Patches of all pictures, real first.

    Parameters
    ----------
    grey : NDArray, uint8, shape (n, side, side)
    source, device : NDArray, str, shape (n,)
        Picture and device that each is from.
    fold : NDArray, int, shape (n,)
        In which fold it is tested: one a device; phantoms take turns by picture.
    real : NDArray, bool, shape (n,)
    """

    grey: NDArray[np.uint8]
    source: NDArray[np.str_]
    device: NDArray[np.str_]
    fold: NDArray[np.int64]
    real: NDArray[np.bool_]

    @classmethod
    def of(cls, real: list[Picture], phantom: list[Picture]) -> Patches:
        """Cut all pictures."""
        devices = sorted({picture.device for picture in real})
        rows: list[tuple[NDArray[np.uint8], str, str, int, bool]] = []
        for turn, picture in enumerate([*real, *phantom]):
            is_real = turn < len(real)
            fold = devices.index(picture.device) if is_real else turn % len(devices)
            cut = picture.patches(REAL_STEP if is_real else PHANTOM_STEP)
            rows += [(patch, picture.source, picture.device, fold, is_real) for patch in cut]
        grey, source, device, folds, sides = zip(*rows, strict=True)
        return cls(
            np.stack(grey),
            np.array(source),
            np.array(device),
            np.array(folds),
            np.array(sides),
        )

    def weights(self, rows: NDArray[np.bool_]) -> Floats:
        """Weights (n,) that sum to 1: sides alike, devices of a side, and their pictures."""
        weight = np.zeros(len(self.real))
        for side in (True, False):
            within = rows & (self.real == side)
            for device in np.unique(self.device[within]):
                of_device = within & (self.device == device)
                sources, counts = np.unique(self.source[of_device], return_counts=True)
                each = dict(zip(sources, 1.0 / counts, strict=True))
                part = np.array([each[s] for s in self.source[of_device]])
                weight[of_device] = part / part.sum() / len(np.unique(self.device[within]))
        return weight / weight.sum()


#: From patches, the rows to learn from and a seed to a score of every patch, high for real.
Critic = Callable[[Patches, NDArray[np.bool_], int], Floats]


def feature_table(patches: Patches) -> tuple[list[str], Floats]:
    """Statistics of every patch, shape (n, n_statistics), and their names."""
    rows = [statistics(grey) for grey in patches.grey]
    return list(rows[0]), np.array([list(row.values()) for row in rows])


def fast_critic(table: Floats) -> Critic:
    """Make a logistic regression on the statistics of `feature_table`."""

    def critic(patches: Patches, learn: NDArray[np.bool_], seed: int) -> Floats:
        del seed
        weight = patches.weights(learn)
        mean = weight @ table
        spread = np.sqrt(weight @ (table - mean) ** 2) + 1e-9
        inputs = np.clip((table - mean) / spread, -5, 5)
        sign = np.where(patches.real, 1.0, -1.0)

        def loss(b: Floats) -> tuple[float, Floats]:
            margin = sign * (inputs @ b[1:] + b[0])
            value = weight @ np.logaddexp(0, -margin) + 0.5 * RIDGE * b[1:] @ b[1:]
            push = -weight * sign / (1 + np.exp(np.clip(margin, -50, 50)))
            return float(value), np.concatenate([[push.sum()], push @ inputs + RIDGE * b[1:]])

        found = minimize(loss, np.zeros(table.shape[1] + 1), jac=True, method="L-BFGS-B").x
        scores: Floats = inputs @ found[1:] + found[0]
        return scores

    return critic


class _Block(nn.Module):
    """Two 3 x 3 convolutions and what they are added to."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.skip = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + self.skip(x))


def resnet18() -> nn.Module:
    """ResNet-18 of He et al. 2016 (doi:10.1109/CVPR.2016.90) for one channel and one answer."""
    layers: list[nn.Module] = [
        nn.Conv2d(1, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_Block(inputs, outputs, stride), _Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1))


def resnet_critic(patches: Patches, learn: NDArray[np.bool_], seed: int) -> Floats:
    """Train a ResNet-18 from nothing, patches flipped and turned upside down at random."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    weight = patches.weights(learn)
    inputs = torch.from_numpy(patches.grey).float()[:, None] / 255
    inputs = (inputs - inputs[learn].mean()) / inputs[learn].std()
    wanted = torch.from_numpy(patches.real).float()
    network = resnet18().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS)
    network.train()
    for _ in range(STEPS):
        rows = torch.from_numpy(rng.choice(len(weight), BATCH, p=weight))
        batch = inputs[rows]
        flipped = torch.from_numpy(rng.random(BATCH) < 0.5)
        batch = torch.where(flipped[:, None, None, None], batch.flip(-1), batch)
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(network(batch)[:, 0], wanted[rows]).backward()
        optimiser.step()
        schedule.step()
    network.eval()
    scores = np.zeros(len(weight))
    with torch.inference_mode():
        for rows in torch.from_numpy(np.flatnonzero(~learn)).split(128):
            scores[rows.numpy()] = network(inputs[rows])[:, 0].numpy()
    return scores


def auc(real: Floats, phantom: Floats) -> float:
    """Chance that a real score is above a phantom's, ties counted half."""
    ranks = rankdata(np.concatenate([real, phantom]))
    above = ranks[: len(real)].sum() - len(real) * (len(real) + 1) / 2
    return float(above / (len(real) * len(phantom)))


@dataclass(frozen=True)
class Verdict:
    """AUC on devices never seen: mean over real pictures, 95 % interval, and of each picture."""

    auc: float
    low: float
    high: float
    of_source: dict[str, float]


def judge(patches: Patches, critic: Critic, seed: int, *, resamples: int = 2000) -> Verdict:
    """Leave every device out once; the interval is a bootstrap over pictures of both sides.

    A real picture's AUC is that of its patches against all phantom patches of its fold; the
    mean over pictures counts each alike, however large it is.
    """
    # Share of each real picture's pairs with each phantom picture that are ordered rightly.
    pairs: dict[str, Floats] = {}
    for fold in np.unique(patches.fold[patches.real]):
        tested = patches.fold == fold
        scores = critic(patches, ~tested, seed + int(fold))
        phantoms = tested & ~patches.real
        names = np.unique(patches.source[phantoms])
        for source in np.unique(patches.source[tested & patches.real]):
            own = scores[patches.source == source]
            each = [auc(own, scores[patches.source == name]) for name in names]
            pairs[str(source)] = np.array(each)
    mean = {source: float(values.mean()) for source, values in pairs.items()}
    rng = np.random.default_rng(seed)
    known = list(pairs.values())
    drawn = [
        np.mean(
            [
                rng.choice(known[i], len(known[i])).mean()
                for i in rng.integers(len(known), size=len(known))
            ]
        )
        for _ in range(resamples)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Verdict(float(np.mean(list(mean.values()))), float(low), float(high), mean)


def separating(patches: Patches, names: list[str], table: Floats) -> list[tuple[str, float]]:
    """AUC of every statistic alone, most separating first; above a half: higher when real."""
    phantom = ~patches.real
    sources = np.unique(patches.source[patches.real])
    found = []
    for name, values in zip(names, table.T, strict=True):
        each = [auc(values[patches.source == s], values[phantom]) for s in sources]
        found.append((name, float(np.mean(each))))
    return sorted(found, key=lambda item: -abs(item[1] - 0.5))
