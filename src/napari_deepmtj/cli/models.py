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
    download: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Fetch and convert this published network first."),
    ] = None,
) -> None:
    """List the models that can be used, one a line, and the published networks to be had."""
    from napari_deepmtj.weights.download import not_fetched
    from napari_deepmtj.weights.store import DEFAULT_MODEL, find_models, read_card, resolve_model

    if download is not None:
        from napari_deepmtj.cli.weights import download as fetch

        fetch(download)
        return
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
    for remote in not_fetched():
        print_line(f"{remote.offer}: napari-deepmtj models --download {remote.id}")
    for problem in problems:
        print_error(str(problem))
    if problems:
        raise typer.Exit(1)
