"""`napari-deepmtj models`: which models there are, and what their cards say."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_deepmtj.cli._console import print_error, print_line


def models(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[ID|FILE]", help="Show this model's whole card, as JSON."),
    ] = None,
) -> None:
    """List the models that can be used, one a line."""
    from napari_deepmtj.weights.store import DEFAULT_MODEL, find_models, read_card, resolve_model

    if model is not None:
        print_line(read_card(resolve_model(model)).to_json(indent=2))
        return
    found, problems = find_models()
    for file in found:
        card = file.card
        default = " (default)" if card.id == DEFAULT_MODEL else ""
        print_line(
            f"{card.id}{default}: version {card.version}, {card.licence}, network {card.network}, "
            f"input {card.input_width} x {card.input_height} px, attention maps "
            f"{', '.join(card.attention.choices) or 'none'}; trained on {card.trained_on}"
        )
    for problem in problems:
        print_error(str(problem))
    if problems:
        raise typer.Exit(1)
