"""The rows of a batch as a person sees them: what will be done with each clip, and how far it is.

They are made of a dry run and follow the events of the run. Needs neither Qt nor a viewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_deepmtj.batch.events import ClipBegan, ClipDone, ClipFailed, ClipKept, ClipProgress

if TYPE_CHECKING:
    import pandas as pd

    from napari_deepmtj.batch.ledger import Ledger, Line

#: What a dry run says of a clip whose result is valid, of one that failed, and of a new one.
DONE, FAILED_BEFORE, TO_DO = "done", "failed before", "to do"
#: What is said of a clip while it runs, and of one that has failed now.
RUNNING, FAILED = "running", "failed"
#: What a dry run says of a clip without millimetres.
NO_SCALE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One clip of a batch.

    Parameters
    ----------
    name : str
        Its result relative to the batch's folder, which is its name in the batch.
    clip : str
        Its file, or the name of its layer.
    facts : str
        What is known of it, in one line.
    state : str
        "to do", "done", "changed", ... as `batch.plan.dry_run` says it; `RUNNING`, `FAILED`.
    scale : str
        Where its millimetres come from, as `dry_run` says it.
    roi, model : str
        Which region and which network are used.
    reached, frames : int
        Frames done and frames in all, while it runs; of a result all of them.
    flagged : int or None
        Frames of its result that the quality gate flags; None is not known.
    note : str
        Why it failed, or what a person must be told.
    """

    name: str
    clip: str
    facts: str = ""
    state: str = ""
    scale: str = ""
    roi: str = ""
    model: str = ""
    reached: int = 0
    frames: int = 0
    flagged: int | None = None
    note: str = ""

    @property
    def short(self) -> str:
        """The clip without its folders."""
        return self.clip.rstrip("/").rsplit("/", 1)[-1]

    @property
    def has_result(self) -> bool:
        """Whether there is a result to be opened."""
        return self.state == DONE

    @property
    def failed(self) -> bool:
        """Whether it failed, now or the last time."""
        return self.state in (FAILED, FAILED_BEFORE)

    @property
    def flagged_share(self) -> float:
        """Flagged frames of all frames, -1 where that is not known."""
        known = self.flagged is not None and self.frames
        return (self.flagged or 0) / self.frames if known else -1.0

    def after(self, line: Line) -> Row:
        """Return the row as a line of the ledger has it."""
        if line.failed:
            return replace(self, note=line.failed, flagged=None)
        facts = line.facts
        return replace(
            self,
            frames=int(facts.get("frames", 0)),
            flagged=facts.get("flagged"),
            note=" | ".join(facts.get("notices", ())),
        )


#: The filter that shows results with flagged frames, the largest share of them first.
FLAGGED = "flagged, worst first"

#: Which rows are shown, by what a person calls them.
FILTERS: Mapping[str, Callable[[Row], bool]] = {
    "all clips": lambda row: True,
    "without a result": lambda row: not row.has_result,
    "without a scale": lambda row: row.scale == NO_SCALE,
    "failed": lambda row: row.failed,
    "with a result": lambda row: row.has_result,
    FLAGGED: lambda row: bool(row.flagged),
}

#: By what rows are put in order, for each column of the table; ties stay in the study's order.
ORDERS: Mapping[str, Callable[[Row], Any]] = {
    "clip": lambda row: row.clip.casefold(),
    "state": lambda row: row.state,
    "scale": lambda row: row.scale,
    "flagged": lambda row: row.flagged_share,
    "note": lambda row: row.note,
}


class Rows:
    """The rows of a batch, in the order of the study, found by their names too."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows = list(rows)
        self._places = {row.name: place for place, row in enumerate(self._rows)}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Row:
        return self._rows[place]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def find(self, name: str) -> int:
        """Return the place of a row, -1 if there is none of that name."""
        return self._places.get(name, -1)

    def follow(self, event: Any) -> int:
        """Take what a run tells of one clip; return its place, -1 if it tells of none."""
        task = getattr(event, "task", None)
        place = -1 if task is None else self.find(task.name)
        if place < 0:
            return place
        row = self._rows[place]
        match event:
            case ClipBegan():
                row = replace(row, state=RUNNING, reached=0, note="")
            case ClipProgress(done=done, total=total):
                row = replace(row, state=RUNNING, reached=done, frames=total)
            case ClipDone(line=line):
                row = replace(row.after(line), state=DONE)
            case ClipKept():
                row = replace(row, state=DONE)
            case ClipFailed(reason=reason):
                row = replace(row, state=FAILED, note=reason)
        self._rows[place] = row
        return place

    def settle(self) -> None:
        """Take the run for ended: what was under way is to be done."""
        self._rows = [
            replace(row, state=TO_DO, reached=0) if row.state == RUNNING else row
            for row in self._rows
        ]

    def counts(self) -> dict[str, int]:
        """Return how many rows each filter shows."""
        return {text: sum(map(test, self._rows)) for text, test in FILTERS.items()}

    def arranged(self, shown: str, order: str = "", descending: bool = False) -> list[int]:
        """Return the places of the rows that a filter shows, in an order of `ORDERS` if any."""
        test, rows = FILTERS[shown], self._rows
        if shown == FLAGGED and not order:
            order, descending = "flagged", True
        places = [place for place, row in enumerate(rows) if test(row)]
        if order:
            key = ORDERS[order]
            places.sort(key=lambda place: key(rows[place]), reverse=descending)
        return places


def rows_of(listed: pd.DataFrame, facts: Iterable[str], ledger: Ledger) -> Rows:
    """Return the rows of a dry run.

    Parameters
    ----------
    listed : pandas.DataFrame
        As `batch.plan.dry_run` returns it.
    facts : iterable of str
        Its columns of facts.
    ledger : Ledger
        Of the batch: what is known of results, and why others failed.
    """
    names = list(facts)
    rows = []
    for said in listed.to_dict("records"):
        row = Row(
            name=said["result"],
            clip=said["file"],
            facts=", ".join(f"{name} {said[name]}" for name in names if said[name]),
            **{name: said[name] for name in ("state", "scale", "roi", "model")},
        )
        line = ledger.line(row.name)
        rows.append(row.after(line) if line and (row.failed or row.has_result) else row)
    return Rows(rows)
