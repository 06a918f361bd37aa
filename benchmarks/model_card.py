"""Write what the cards of the bundled models say into docs/explanation/model.md.

python benchmarks/model_card.py [--write]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from markdown_tables import markdown, write_between
from napari_deepmtj.evaluation.doubt import share_interval
from napari_deepmtj.inference.decode import Decoding
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import bundled_folder, load_model

DOCUMENT = Path(__file__).parents[1] / "docs" / "explanation" / "model.md"


def facts(card: WeightCard, parameters: int) -> list[tuple[str, str]]:
    """Return what a card says, a line each."""
    recipe: dict[str, Any] = dict(card.made_with.get("recipe", {}))
    arguments = ", ".join(f"{name} {value}" for name, value in card.network_arguments.items())
    decoding = Decoding.from_card(card.decoding)
    figures = card.figures
    rows = [
        ("network", f"`{card.network}` ({arguments}), {parameters / 1e6:.2f} M parameters"),
        ("input", f"{card.input_width} x {card.input_height} px, grey levels {card.normalisation}"),
        ("attention maps", ", ".join(card.attention.names) or "none"),
        ("licence", card.licence),
        ("hash of the weights", f"`{card.sha256[:16]}`, made {card.created}"),
        ("trained on", card.trained_on),
        ("points at", card.label_definition),
    ]
    if recipe:
        told = recipe.get("calibration", {})
        rows.append(
            (
                "made again by",
                f"`napari-deepmtj train --recipe {recipe['id']}`, seed {recipe['seed']}",
            )
        )
        rows.append(
            ("confidence fitted on", f"{told.get('count')} other scenes, seed {told.get('seed')}")
        )
    rows += [
        (name.replace("_", " "), str(card.made_with[name]))
        for name in ("runs", "fitted_on", "device", "hours", "rendering_hours")
        if name in card.made_with
    ]
    rows.append(
        (
            "in view",
            f"from a probability of {decoding.presence_threshold:.2f} on; {_rates(figures)}",
        )
    )
    rows.append(
        (
            "uncertainty",
            f"floor {decoding.sd_floor_x_px:.2f} and {decoding.sd_floor_y_px:.2f} px, gain "
            f"{decoding.sd_gain_x:.2f} and {decoding.sd_gain_y:.2f} (along, across); size "
            f"{decoding.region_scale:.2f} x reach^{decoding.reach_power:.2f}",
        )
    )
    if "calibration_mean_mm" in figures:
        rows.append(
            (
                "on the scenes of that fit",
                f"mean {figures['calibration_mean_mm']:.2f} mm, median "
                f"{figures['calibration_median_mm']:.2f} mm, "
                f"{figures['calibration_within_5mm']:.1%} within 5 mm; they are "
                "degraded as in training, harder than any clip",
            )
        )
    return rows


def _rates(figures: Any) -> str:
    """Return the error rates of "in view" on the scenes of the fit, with their intervals."""
    parts = []
    for rate, count, what in (
        ("calibration_missed", "calibration_present", "in view were called out"),
        ("calibration_invented", "calibration_absent", "out of view were called in"),
    ):
        if rate in figures:
            told = f"{figures[rate]:.1%}"
            if count in figures:
                n = round(figures[count])
                low, high = share_interval(round(figures[rate] * n), n)
                told += f" ({low:.1%} to {high:.1%}) of {n}"
            parts.append(f"{told} {what}")
    return "; ".join(parts)


def main() -> None:
    """Print, and write if asked, a table a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, nargs="?", const=DOCUMENT)
    arguments = parser.parse_args()
    tables = []
    for path in sorted(bundled_folder().glob("*.safetensors")):
        model = load_model(path)
        parameters = sum(p.numel() for p in model.network.parameters())
        table = markdown(
            (f"`{model.card.id}`", f"version {model.card.version}"), facts(model.card, parameters)
        )
        tables.append(table)
    text = "\n\n".join(tables)
    print(text)
    if arguments.write:
        write_between(arguments.write, "model cards", text)


if __name__ == "__main__":
    main()
