"""Pictures made once of a folder of real ones, as a recipe says, and kept beside its scenes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.phantom.anatomy import LabelDefinition
from napari_deepmtj.training.mixture import StoredPictures
from napari_deepmtj.training.real import (
    RealPicture,
    Split,
    find_real,
    make_composites,
    make_negatives,
    of_split,
)
from napari_deepmtj.training.recipes import SceneRecipe
from napari_deepmtj.training.sources import REAL_TRAIN

#: Name of the source that is made of bellies with masks; all others are names of folders.
COMPOSITES = "composites"
#: Pictures as they are follow from another seed than composites.
_NEGATIVES_SEED = 7


@dataclass(frozen=True)
class RealSources:
    """Sources by their names: those to learn from, and those to fit the doubt on.

    `unusable` says of every mask that cannot be used why; its picture is taken as it is.
    """

    training: dict[str, StoredPictures]
    fit: dict[str, StoredPictures]
    unusable: tuple[DeepMTJError, ...] = ()


def real_sources(recipe: SceneRecipe, real: Path, store: Path) -> RealSources:
    """Make what a recipe says of a folder of real pictures, or read what was made before.

    Parameters
    ----------
    recipe : SceneRecipe
        With a `RealSet`.
    real : Path
        The folder, see `real.find_real`.
    store : Path
        Where what is made is kept.

    Raises
    ------
    DeepMTJError
        If the recipe does not say what to make, the folder lacks a source, or `store` holds what
        was made of other pictures or by another recipe.
    """
    what = recipe.real
    if what is None:
        raise DeepMTJError(
            f"the recipe {recipe.id} does not say what to make of real pictures; leave out --real"
        )
    pictures = find_real(real, **REAL_TRAIN)
    files = [f"{picture.path.name} {picture.path.stat().st_size}" for picture in pictures]
    described = json.dumps(asdict(what) | {"label": asdict(recipe.label), "files": files})
    store.mkdir(parents=True, exist_ok=True)
    marker = store / "real.json"
    if marker.exists() and marker.read_text(encoding="utf-8") != described:
        raise DeepMTJError(
            "holds pictures of another recipe or folder; choose another folder", path=store
        )
    marker.write_text(described, encoding="utf-8")
    return RealSources(
        _made(what.training, "training", what.seed, pictures, store, recipe.label),
        _made(what.fit, "fit", what.seed + 1, pictures, store, recipe.label),
        tuple(picture.no_belly for picture in pictures if picture.no_belly is not None),
    )


def _made(
    counts: dict[str, int],
    split: Split,
    seed: int,
    pictures: list[RealPicture],
    store: Path,
    label: LabelDefinition,
) -> dict[str, StoredPictures]:
    """Return each source of one split, made now or before."""
    sources = {}
    for name, count in counts.items():
        file = store / f"{name}-{split}.npz"
        if not file.exists():
            if name == COMPOSITES:
                made = make_composites(of_split(pictures, split), count, seed, label=label)
            else:
                these = of_split(pictures, split, name)
                if not these:
                    raise DeepMTJError(f"no picture in the folder {name!r} is for {split}")
                made = make_negatives(these, count, seed + _NEGATIVES_SEED)
            made.save(file)
        sources[name] = StoredPictures.load(file)
    return sources
