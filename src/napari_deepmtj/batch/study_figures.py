"""Statistics of a study by subject and condition, tidy: one row a combination of the facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from napari_deepmtj.batch import clip_figures as measured
from napari_deepmtj.batch import external_channels as beside
from napari_deepmtj.batch.study import FACTS

#: What says how one clip's cycles differ, and not the clips.
_OF_CYCLES = ("cycles", "cycle_excursion_mm_sd")

#: Columns of `clips.csv` of which mean and SD over the clips are given.
AVERAGED: tuple[str, ...] = (
    "excursion_mm",
    *(name for name in measured.FIGURES.values() if name not in _OF_CYCLES),
    *(f"{name}_{end}" for name in beside.RANGES for end in ("least", "greatest")),
    *beside.FIGURES.values(),
)
#: Columns of which the mean alone is given: how far the rest is to be trusted.
TRUST: tuple[str, ...] = ("in_view_percent", "confidence_median", "flagged_percent")


def excursions(
    clips: pd.DataFrame, facts: Sequence[str], *, with_partial: bool = False
) -> pd.DataFrame:
    """Return the excursions of each subject under each condition.

    Parameters
    ----------
    clips : pandas.DataFrame
        As `clips.csv`.
    facts : sequence of str
        Its columns of facts.
    with_partial : bool
        Whether clips of which less than 90 % could be read count as well.

    Returns
    -------
    pandas.DataFrame
        One row a combination of the known facts but `trial`, of clips that have a result. `clips`
        of it, `clips_partial` (left out of all that follows unless `with_partial`), `copies` (that
        have the content of another clip), `clips_with_mm`; `COLUMN_mean` and `COLUMN_sd` (n - 1) of
        `AVERAGED`, as far as `clips` has them, over the clips that have a value;
        `excursion_mm_min`, `_max`; `clips_excursion_unreliable`; `COLUMN_mean` of `TRUST`.
        Empty where it cannot be said.
    """
    by = [name for name in FACTS if name in facts and name != "trial"]
    with_result = clips[clips["status"].isin(["done", "partial"])]
    averaged = [name for name in AVERAGED if name in clips]
    rows = [
        dict(zip(by, key, strict=True)) | _statistics(group, averaged, with_partial)
        for key, group in _groups(with_result, by)
        if len(group)
    ]
    columns = [*by, *_statistics(with_result, averaged, with_partial)]
    return pd.DataFrame(rows, columns=columns)


def _groups(
    table: pd.DataFrame, by: list[str]
) -> Iterator[tuple[tuple[object, ...], pd.DataFrame]]:
    if not by:
        yield (), table
        return
    for key, group in table.groupby(by, sort=True, dropna=False):
        yield key if isinstance(key, tuple) else (key,), group


def _statistics(group: pd.DataFrame, averaged: list[str], with_partial: bool) -> dict[str, float]:
    partial = group["status"] == "partial"
    group = group if with_partial else group[~partial]
    numbers = {name: group[name].astype(float) for name in (*averaged, *TRUST)}
    moved = numbers["excursion_mm"]
    said: dict[str, float] = {
        "clips": len(group),
        "clips_partial": int(partial.sum()),
        "copies": int((group["same_content_as"] != "").sum()),
        "clips_with_mm": int(group["excursion_raw_mm"].notna().sum()),
    }
    for name in averaged:
        plain = name.removesuffix("_mean")  # the mean of clips' means is a mean
        said |= {f"{plain}_mean": numbers[name].mean(), f"{plain}_sd": numbers[name].std(ddof=1)}
        if name == "excursion_mm":
            unreliable = int((group["excursion_reliable"].astype(float) == 0).sum())
            said |= {"excursion_mm_min": moved.min(), "excursion_mm_max": moved.max()}
            said["clips_excursion_unreliable"] = unreliable
    return said | {f"{name}_mean": numbers[name].mean() for name in TRUST}
