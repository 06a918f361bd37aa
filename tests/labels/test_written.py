import pytest

from napari_deepmtj.core.labels import Edit, Label, StateEdit
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels._journal import journals
from napari_deepmtj.labels.store import LabelStore
from napari_deepmtj.labels.table import write_labels
from napari_deepmtj.labels.written import read_written


def label(frame):
    return Label(clip="a.avi", clip_sha256="aa", frame=frame, x_px=1.0, y_px=2.0, annotator="anna")


@pytest.fixture
def path(tmp_path):
    return write_labels(tmp_path / "é a.mtj-labels.csv", [label(0), label(1)])


def test_what_is_in_a_journal_only_is_missed(path):
    with LabelStore.open(path) as store:
        store.apply(StateEdit("position", None, 7))  # says nothing of the labels
        assert read_written(path) == list(store.labels)
        store.apply(Edit(None, label(2)), Edit(store.labels[0], None))
        with pytest.raises(LabelError, match=r"csv: 2 labels that were edited are not in it yet"):
            read_written(path)
        store.compact()
        assert [found.frame for found in read_written(path)] == [1, 2]


def test_a_journal_that_says_what_the_file_says_is_no_hindrance(path):
    """A program may have been killed after it wrote the file, before its journal went."""
    with LabelStore.open(path) as store:
        store.apply(Edit(None, label(2)))
        (journal,) = journals(path.parent, "é a.mtj-labels")
        content = journal.read_bytes()
    journal.write_bytes(content)
    assert len(read_written(path)) == 3


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(LabelError, match="there is no such label file"):
        read_written(tmp_path / "none" / "x.mtj-labels.csv")
