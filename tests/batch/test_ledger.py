import pytest

from napari_deepmtj.batch.ledger import NAME, Ledger, Line, only_here
from napari_deepmtj.errors import ResultError


def line(result, **changes):
    return Line(**{"result": result, "clip": "clips/a.avi", "sha256": "ab", "key": "k"} | changes)


def test_the_last_line_of_a_result_counts(tmp_path):
    ledger = Ledger.of(tmp_path)
    assert ledger.line("a") is None
    ledger.append(line("a", failed="no picture"))
    ledger.append(line("b", facts={"frames": 3, "notices": ["ä"]}))
    ledger.append(line("a"))
    again = Ledger.of(tmp_path)
    assert list(again) == [line("a"), line("b", facts={"frames": 3, "notices": ["ä"]})]


def test_a_line_cut_off_anywhere_is_as_if_it_had_not_been(tmp_path):
    ledger = Ledger.of(tmp_path)
    ledger.append(line("a"))
    whole = (tmp_path / NAME).read_bytes()
    ledger.append(line("b"))
    both = (tmp_path / NAME).read_bytes()
    for end in range(len(whole), len(both)):
        (tmp_path / NAME).write_bytes(both[:end])
        cut = Ledger.of(tmp_path)
        assert list(cut) == [line("a")]
    cut.append(line("c"))
    assert list(Ledger.of(tmp_path)) == [line("a"), line("c")]


@pytest.mark.parametrize("text", ["{}", "[1]", '{"schema": 2}', '{"schema": 1}', "nonsense"])
def test_a_damaged_line_is_named(tmp_path, text):
    Ledger.of(tmp_path).append(line("a"))
    with (tmp_path / NAME).open("a", encoding="utf-8") as file:
        file.write(text + "\n")
    with pytest.raises(ResultError, match=f"{NAME}: line 2 is damaged"):
        Ledger.of(tmp_path)


def test_one_batch_at_a_time_writes_to_a_folder(tmp_path):
    folder = tmp_path / "new" / "batch"
    with (
        only_here(folder),
        pytest.raises(ResultError, match=r"batch: another batch writes to this folder \(.+\)"),
        only_here(folder),
    ):
        pass
    with only_here(folder):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ResultError, match="choose another"), only_here(tmp_path / "file" / "below"):
        pass
