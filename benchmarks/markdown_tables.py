"""Tables of figures, as Markdown, and their places in the documents; what benchmarks print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

#: Where the reader's figures are quoted.
FORMATS = Path(__file__).parents[1] / "docs" / "reference" / "clips.md"


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write_between(path: Path, what: str, text: str) -> None:
    """Replace what stands between the markers of `what` in a document.

    Raises
    ------
    SystemExit
        If the document has no such markers.
    """
    begin, end = f"<!-- {what}: begin -->", f"<!-- {what}: end -->"
    document = path.read_text(encoding="utf-8")
    before, _, rest = document.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{path} has no {begin} ... {end}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
