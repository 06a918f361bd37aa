"""Hold phantom pictures against real ones: statistics, a critic, and a contact sheet.

    python benchmarks/realism.py stats  --real DATA [--n 60] [--seed 1] [--write]
    python benchmarks/realism.py critic --real DATA [--fast] [--write]
    python benchmarks/realism.py sheet  [--real DATA] --output sheet.png

DATA is the folder that holds `muscle_still`, pictures of muscle without a junction from other
projects, which are not part of this one (`realism_pictures.REAL` names the files). Without it a
sheet shows phantoms only, as the one in the documents does. `--write` puts what is printed into
docs/explanation/realism.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from markdown_tables import markdown, write_between
from realism_critic import (
    Patches,
    fast_critic,
    feature_table,
    judge,
    resnet_critic,
    separating,
)
from realism_pictures import Picture, phantom_pictures, real_pictures
from realism_sheet import sheet, stills
from realism_stats import statistics


def table_of(pictures: list[Picture]) -> dict[str, np.ndarray]:
    """Every statistic of every picture: name -> (n,)."""
    rows = [statistics(picture.grey) for picture in pictures]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def compare(real: list[Picture], phantom: list[Picture]) -> list[list[str]]:
    """Rows of the table of `stats`, most different first."""
    ours, theirs = table_of(phantom), table_of(real)
    rows = []
    for name, values in theirs.items():
        low, high = values.min(), values.max()
        drawn = ours[name]
        q5, q50, q95 = np.percentile(drawn, (5, 50, 95))
        outside = float(((drawn < low) | (drawn > high)).mean())
        shift = (q50 - np.median(values)) / (values.std() + 1e-9)
        mark = "OUT" if q50 < low or q50 > high else "wide" if q5 < low or q95 > high else ""
        rows.append(
            (
                abs(shift) + outside,
                [
                    name,
                    f"{low:.3g}..{high:.3g}",
                    f"{np.median(values):.3g}",
                    f"{q5:.3g}..{q95:.3g}",
                    f"{q50:.3g}",
                    f"{shift:+.1f}",
                    f"{outside:.0%}",
                    mark,
                ],
            )
        )
    return [row for _, row in sorted(rows, key=lambda r: -r[0])]


DOCUMENT = Path(__file__).parents[1] / "docs" / "explanation" / "realism.md"
HEAD = ("statistic", "real", "median", "phantom 5..95 %", "median", "shift (sd)", "outside", "")


def criticise(real: list[Picture], phantom: list[Picture], seed: int, *, fast: bool) -> str:
    """Say how well a critic tells the sides apart, and by what."""
    patches = Patches.of(real, phantom)
    names, table = feature_table(patches)
    verdict = judge(patches, fast_critic(table) if fast else resnet_critic, seed)
    lines = [
        f"{patches.real.sum()} real patches of {len(real)} pictures and {len(set(patches.fold))} "
        f"devices, {(~patches.real).sum()} phantom patches of {len(phantom)} pictures",
        f"AUC of {'a regression on statistics' if fast else 'ResNet-18'}, devices not seen: "
        f"{verdict.auc:.3f} (95 % {verdict.low:.3f}..{verdict.high:.3f})",
        *(f"  {source}: {value:.3f}" for source, value in verdict.of_source.items()),
        "statistics that separate most, each alone (above 0.5: higher when real):",
        *(f"  {name}: {value:.3f}" for name, value in separating(patches, names, table)[:15]),
    ]
    return "\n".join(lines)


def beside(real: list[Picture], phantom: list[Picture], rows: int) -> list[list[Picture]]:
    """Columns of a sheet: phantoms left, real ones right; phantoms only where none are real."""
    if not real:
        return [phantom[i : i + rows] for i in range(0, len(phantom), rows)]
    rows = -(-len(real) // 2)
    return [phantom[:rows], phantom[rows : 2 * rows], real[:rows], real[rows:]]


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("stats", "critic", "sheet"))
    parser.add_argument("--real", type=Path)
    parser.add_argument("--n", type=int, default=60, help="how many phantoms")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fast", action="store_true", help="a regression in place of the network")
    parser.add_argument("--output", type=Path, help="where the sheet goes")
    parser.add_argument("--write", action="store_true", help="into docs/explanation/realism.md")
    arguments = parser.parse_args()
    if arguments.real is None and arguments.what != "sheet":
        parser.error(f"{arguments.what} needs --real")
    if arguments.output is None and arguments.what == "sheet":
        parser.error("sheet needs --output")
    real = [] if arguments.real is None else real_pictures(arguments.real)
    phantom = phantom_pictures(arguments.n, arguments.seed)
    if arguments.what == "sheet":
        real += [] if arguments.real is None else stills(arguments.real)
        paper = sheet(beside(real, phantom, rows=-(-arguments.n // 4)))
        Image.fromarray(paper).save(arguments.output, optimize=True)
        return
    if arguments.what == "stats":
        name, text = "realism stats", markdown(HEAD, compare(real, phantom))
    else:
        name = "realism critic fast" if arguments.fast else "realism critic"
        text = criticise(real, phantom, arguments.seed, fast=arguments.fast)
    print(text)
    if arguments.write:
        text = text if arguments.what == "stats" else f"```\n{text}\n```"
        write_between(DOCUMENT, name, text)


if __name__ == "__main__":
    main()
