"""`napari-deepmtj weights`: the published networks, brought by hand or fetched.

What is recognised is `weights.keras_import`; fetching is `weights.download`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_line, print_notice
from napari_deepmtj.cli._jobs import run_job

if TYPE_CHECKING:
    from napari_deepmtj.weights.cards import WeightCard
    from napari_deepmtj.weights.download import Imported

weights = typer.Typer(
    no_args_is_help=True, help="Bring in the networks of the papers.", rich_markup_mode=None
)

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier model of this id.")
]
TrustNew = Annotated[
    bool,
    typer.Option("--trust-new", help="Accept a published network whose hash is not as at first."),
]


@weights.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The authors' Keras HDF5 file.")],
    model_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="What to call it; the file's name by default."),
    ] = None,
    overwrite: Overwrite = False,
    trust_new: TrustNew = False,
) -> None:
    """Convert a network of the papers, without TensorFlow, into a model to track with."""
    from napari_deepmtj.weights.download import import_file

    name = file.stem if model_id is None else model_id
    _tell(import_file(file, name, overwrite=overwrite, trust_new=trust_new))


@weights.command()
def download(
    model_id: Annotated[
        str, typer.Argument(metavar="ID", help="deepmtj-2021, the network of P21 (CC BY 4.0).")
    ],
    file: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which file at the publisher, should it ask."),
    ] = None,
    overwrite: Overwrite = False,
    trust_new: TrustNew = False,
) -> None:
    """Fetch a published network and convert it; its hash is stored and ever after checked."""
    from napari_deepmtj.weights.download import download as fetch
    from napari_deepmtj.weights.remote import find_remote

    remote = find_remote(model_id)
    job = fetch(remote, file=file, overwrite=overwrite, trust_new=trust_new)
    found: Imported = run_job(job, f"fetching {remote.title}")
    _tell(found)


def _tell(found: Imported) -> None:
    for name, value in described(found.card):
        print_line(f"{name}: {value}")
    print_line(f"saved: {found.path}")
    print_line(f"use it: napari-deepmtj track CLIP --model {found.card.id}")
    if found.first_use:
        print_notice(
            f"the file's hash ({found.card.made_with['file_sha256']}) is trusted on this first "
            "use, and compared from now on"
        )


def described(card: WeightCard) -> list[tuple[str, str]]:
    """Return what an imported network was recognised as, as names and values."""
    normalisations = {
        "minus-one-one": "grey 0..255 to -1..1",
        "standardise": "each picture to mean 0, standard deviation 1",
    }
    decoding = (
        "centre of the largest region with a probability of 0.5 or more; none: not in view"
        if card.network == "attention-unet"
        else "two coordinates, 0 and 1 at the centres of the crop's first and last pixels"
    )
    maps = ", ".join(card.attention.choices) or "none"
    return [
        ("recognised", str(card.made_with["published_as"])),
        (
            "input",
            f"{card.input_width} x {card.input_height} px, {normalisations[card.normalisation]}",
        ),
        ("region", str(card.made_with["region"])),
        ("decoding", decoding),
        ("confidence", str(card.made_with["confidence"])),
        ("attention maps", maps),
        ("licence", card.licence),
    ]
