"""`napari-deepmtj models`: which models there are, and what their cards say."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_deepmtj.cli._console import print_error, print_line, print_table


def models(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[ID|FILE]", help="Show this model's whole card, as JSON."),
    ] = None,
    download: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Fetch and convert this published network first."),
    ] = None,
    benchmark: Annotated[
        bool,
        typer.Option(
            "--benchmark",
            help="Measure how fast this machine computes the model (the default one if none is "
            "named), and say how to choose another way than `auto` takes.",
        ),
    ] = False,
) -> None:
    """List the models that can be used, one a line, and the published networks to be had."""
    from napari_deepmtj.weights.download import not_fetched
    from napari_deepmtj.weights.store import DEFAULT_MODEL, find_models, read_card, resolve_model

    if download is not None:
        from napari_deepmtj.cli.weights import download as fetch

        fetch(download)
        return
    if benchmark:
        _benchmark(model or DEFAULT_MODEL)
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


def _benchmark(name: str) -> None:
    """Print how fast each way to compute a model is, which is taken, and how to pin another."""
    from napari_deepmtj.inference.backends.measure import measure
    from napari_deepmtj.inference.backends.select import BACKEND_VARIABLE, open_backend
    from napari_deepmtj.inference.backends.threads import THREADS_VARIABLE, threads_for
    from napari_deepmtj.weights.store import load_model

    model = load_model(name)
    rates = list(measure(model))
    rows = [
        (rate.backend.value, str(rate.threads), str(rate.pictures), f"{rate.frames_per_s:.0f}")
        for rate in rates
    ]
    title = f"{model.card.id} {model.card.version}, the network alone"
    print_table(("backend", "threads", "pictures at a time", "frames/s"), rows, title)
    taken, best = threads_for(model.card.network), max(rates, key=lambda rate: rate.frames_per_s)
    used = open_backend(model, device="cpu").name
    print_line(
        f"`auto` takes {used} on the CPU, with {taken.threads} threads and {taken.batch} pictures; "
        "a clip is decoded beside it"
    )
    print_line(
        f"fastest alone: {BACKEND_VARIABLE}={best.backend.value} "
        f"{THREADS_VARIABLE}={best.threads}; set these environment variables to compute so from "
        "now on, unset them for `auto`"
    )
