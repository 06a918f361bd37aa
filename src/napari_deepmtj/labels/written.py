"""Reading labels for figures and exports: not while edits of them are in a journal only.

The file itself is read by `labels.table`; journals are written by `labels.store`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels._journal import journal_stem, journals, read_journal
from napari_deepmtj.labels._merge import Said, same
from napari_deepmtj.labels.table import read_labels


def read_written(path: str | Path, *, n_frames: Mapping[str, int] | None = None) -> list[Label]:
    """Read a label file in which everything is that was labelled.

    Parameters
    ----------
    path, n_frames
        As `read_labels` has them.

    Raises
    ------
    LabelError
        As `read_labels` does, and if labels were edited and are not written into the file yet.
    """
    path = Path(path)
    said = Said()
    real = path.resolve()
    if real.is_file():
        for journal in journals(real.parent, journal_stem(real)):
            said.add(read_journal(journal).edits)
    labels = read_labels(path, n_frames=n_frames)
    there = {label.key: label for label in labels}
    newest = [(key, value) for key, value in said.newest() if not isinstance(key, str)]
    lacking = sum(not same(there.get(key), value) for key, value in newest)
    if lacking:
        raise LabelError(
            f"{lacking} labels that were edited are not in it yet; close it where it is being "
            "edited, or, if that program stopped, open it there once more",
            path=path,
        )
    return labels
