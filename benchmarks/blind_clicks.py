"""Where blind readers see the MTJ of composites, against the label that models learn from.

    python benchmarks/blind_clicks.py sheets OUT [--data DATA] [--real-train REAL_TRAIN]
    python benchmarks/blind_clicks.py score OUT CLICKS.csv [CLICKS.csv ...]

`sheets` draws numbered pictures in random order, four a sheet, with rulers in pixels and no label:
60 composites of held-out bellies, and as a control the published stills and their mirror images,
of which experts' clicks are known. Each reader writes `item,x,y` with empty x and y where there is
no MTJ to point at. `score` holds that against OUT/truth.csv, which a reader must not have seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from accuracy_development import held_out_composites
from accuracy_real import STILLS
from markdown_tables import markdown
from napari_deepmtj.evaluation.bootstrap import bootstrap

ROOT = Path(__file__).parents[1]
COMPOSITES, A_SHEET, SEED = 60, 4, 5


def sheets(out: Path, data: Path, real_train: Path) -> None:
    """Draw the sheets, and write the truth beside them."""
    rng = np.random.default_rng(SEED)
    pieces = held_out_composites(real_train)
    items = []
    for number in rng.choice(len(pieces), COMPOSITES, replace=False):
        piece = pieces[number]
        side = 1
        picture, (x, y) = piece.frames[0], piece.xy[0]
        if rng.random() < 0.5:
            side, picture, x = -1, picture[:, ::-1], picture.shape[1] - 1 - x
        items.append((picture, "composite", piece.subject, x, y, side, piece.mm[0]))
    for number, (name, ((x, y), _, px_per_mm)) in enumerate(STILLS.items()):
        picture = np.asarray(Image.open(data / "mtj" / name).convert("L"))
        mirrored = picture[:, ::-1]
        # distal is to the right in the published stills
        items.append((picture, "still", -1 - number, x, y, 1, 1 / px_per_mm))
        x = picture.shape[1] - 1 - x
        items.append((mirrored, "still", -1 - number, x, y, -1, 1 / px_per_mm))
    items = [items[k] for k in rng.permutation(len(items))]
    out.mkdir(parents=True, exist_ok=True)
    columns = ("kind", "cluster", "x", "y", "distal_side", "mm_per_px")
    truth = pd.DataFrame([item[1:] for item in items], columns=columns)
    truth.index.name = "item"
    truth.to_csv(out / "truth.csv")
    for first in range(0, len(items), A_SHEET):
        figure = Figure(figsize=(15, 9), dpi=100, layout="constrained")
        axes = figure.subplots(2, A_SHEET // 2).ravel()
        for axis, number in zip(axes, range(first, first + A_SHEET), strict=True):
            if number >= len(items):
                axis.axis("off")
                continue
            picture = items[number][0]
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
            axis.set_title(f"item {number}")
            axis.minorticks_on()
            axis.tick_params(which="both", top=True, right=True, labeltop=False)
        figure.savefig(out / f"sheet_{first // A_SHEET:02d}.png")


def score(out: Path, clicks: list[Path]) -> str:
    """Return the readers' bias along and across, in mm; positive is distal, and deep."""
    truth = pd.read_csv(out / "truth.csv", index_col="item")
    rows = []
    by_reader = []
    for path in clicks:
        table = truth.join(pd.read_csv(path, index_col="item").add_suffix("_clicked"), how="left")
        table["distal"] = (table["x_clicked"] - table["x"]) * table["distal_side"]
        table["deep"] = table["y_clicked"] - table["y"]
        table[["distal", "deep"]] = table[["distal", "deep"]].mul(table["mm_per_px"], axis=0)
        by_reader.append(table)
    both = by_reader[0].copy()
    names = ["distal", "deep"]
    both[names] = sum(table[names] for table in by_reader) / len(by_reader)
    for name, table in [
        *((path.stem, table) for path, table in zip(clicks, by_reader, strict=True)),
        ("mean of the readers, where all clicked", both),
    ]:
        for kind, part in table.groupby("kind"):
            given = part.dropna(subset=names)
            near = given[given["distal"].abs() <= 5]
            rows.append((name, f"{kind} ({len(part)})", str(len(given)), *_figures(given, near)))
    head = ("reader", "pictures", "clicked", "within 5 mm along", "median distal; deep, mm")
    return markdown((*head, "mean distal of those within 5 mm (95 %), mm"), rows)


def _figures(given: pd.DataFrame, near: pd.DataFrame) -> tuple[str, ...]:
    interval = bootstrap(near["distal"].to_numpy(), near["cluster"].to_numpy())
    return (
        str(len(near)),
        f"{given['distal'].median():+.1f}; {given['deep'].median():+.1f}",
        f"{near['distal'].mean():+.1f} ({interval.low:+.1f} to {interval.high:+.1f})",
    )


def main() -> None:
    """Draw or score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="what", required=True)
    draw = parts.add_parser("sheets")
    draw.add_argument("out", type=Path)
    shared = ROOT.parent / "shared" / "data"
    draw.add_argument("--data", type=Path, default=shared / "real")
    draw.add_argument("--real-train", type=Path, default=shared / "real_train")
    hold = parts.add_parser("score")
    hold.add_argument("out", type=Path)
    hold.add_argument("clicks", type=Path, nargs="+")
    given = parser.parse_args()
    if given.what == "sheets":
        sheets(given.out, given.data, given.real_train)
    else:
        print(score(given.out, given.clicks))


if __name__ == "__main__":
    main()
