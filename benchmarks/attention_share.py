"""How much of a network's attention lies around the MTJ, on composites that it did not learn from.

    python benchmarks/attention_share.py --real-train DIR [--model ID_OR_FILE ...]

Printed are the share of each map's mass within 10 mm of the MTJ, in the mean, beside that of the
heat map, which is the answer itself, and that of an even map, which carries nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from accuracy_development import COMPOSITES, SEED
from markdown_tables import markdown
from napari_deepmtj.inference.attention import combine
from napari_deepmtj.networks.maps import COMBINED, maps_of
from napari_deepmtj.training.augment import augment
from napari_deepmtj.training.real import find_real, make_composites, of_split
from napari_deepmtj.training.sources import REAL_TRAIN
from napari_deepmtj.weights.store import load_model

#: What is near the MTJ, mm.
NEAR_MM = 10.0


def share_near(
    maps: npt.NDArray[np.float32],
    xy: npt.NDArray[np.float32],
    mm_per_px: npt.NDArray[np.float32],
    size: tuple[int, int],
) -> float:
    """Return the mean share of maps' mass within `NEAR_MM` of the MTJ.

    Parameters
    ----------
    maps : ndarray, shape (n, h, w)
        Not negative.
    xy : ndarray, shape (n, 2)
        The MTJ in pixels of the network's input.
    mm_per_px : ndarray, shape (n, 2)
        Millimetres a pixel of the network's input along x and y.
    size : (int, int)
        Height and width of the network's input.
    """
    rows, columns = maps.shape[1:]
    x = (np.arange(columns) + 0.5) * size[1] / columns - 0.5
    y = (np.arange(rows) + 0.5) * size[0] / rows - 0.5
    dx = (x[None, None, :] - xy[:, 0, None, None]) * mm_per_px[:, 0, None, None]
    dy = (y[None, :, None] - xy[:, 1, None, None]) * mm_per_px[:, 1, None, None]
    near = np.hypot(dx, dy) <= NEAR_MM
    return float(((maps * near).sum((1, 2)) / maps.sum((1, 2)).clip(1e-12)).mean())


def main() -> None:
    """Print one line a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real-train", type=Path, required=True)
    parser.add_argument("--model", nargs="+", default=["compact", "compact-fast"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    held = of_split(find_real(options.real_train, **REAL_TRAIN), "development")
    made = make_composites(held, COMPOSITES, SEED, out_of_view=0.0)
    lines: list[dict[str, str]] = []
    for name in options.model:
        model = load_model(name)
        card = model.card
        size = (card.input_height, card.input_width)
        names = (*maps_of(card.network, card.network_arguments).names, COMBINED, "heat map", "even")
        shares: dict[str, list[float]] = {which: [] for which in names}
        for part in torch.arange(len(made)).split(50):
            batch = augment(
                made.pictures(part),
                made.positions()[part],
                made.present[part],
                made.mm_per_px[part],
                size,
                torch.Generator().manual_seed(1),
                strength=0.0,
            )
            with torch.inference_mode():
                output = model.network(batch.pictures)
            assert output.heatmap is not None
            heat = torch.softmax(output.heatmap.flatten(1), 1).view_as(output.heatmap)
            combined = torch.as_tensor(combine(*output.attention[:2]))
            maps = (*output.attention, combined, heat, torch.ones_like(heat))
            for which, one in zip(names, maps, strict=True):
                truth = (batch.xy.numpy(), batch.mm_per_px.numpy())
                shares[which].append(share_near(one.float().numpy(), *truth, size))
        title = f"{card.id} {card.version} `{card.sha256[:8]}`"
        lines.append({"model": title} | {k: f"{np.mean(v):.1%}" for k, v in shares.items()})
    print(markdown(tuple(lines[0]), [tuple(line.values()) for line in lines]))


if __name__ == "__main__":
    main()
