import os
import threading
import time

import pytest

from napari_deepmtj.inference.backends import cache as backends_cache
from napari_deepmtj.inference.backends.cache import (
    Export,
    cache_folder,
    kept_export,
    store_figures,
    stored_figures,
)

KEY = {"weights": "ab", "with": {"openvino": "1"}}
MADE = Export({"model.xml": b"<net/>", "model.bin": bytes(range(256)) * 40}, {"outputs": ["xy"]})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DEEPMTJ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "exports"


def kept(make=lambda: MADE, key=KEY, why="made"):
    job, notices = kept_export("compact", key, make, why), []
    while True:
        try:
            notices.append(next(job).message)
        except StopIteration as end:
            return end.value, notices


def fail():
    pytest.fail("made again")


def test_an_export_is_made_once_and_then_read():
    assert kept() == (MADE, ["made"])
    assert kept(fail) == (MADE, [])


def test_other_weights_or_versions_are_another_export(folder):
    kept()
    other = Export({}, {"outputs": []})
    assert kept(lambda: other, {**KEY, "with": {"openvino": "2"}}) == (other, ["made"])
    assert len(list(folder.iterdir())) == 2
    assert kept(fail) == (MADE, [])


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "no archive", "of another key"])
def test_a_damaged_file_is_said_and_made_again(folder, damage):
    kept()
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    middle = content.index(bytes(range(200)))
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[middle + 1000] ^= 1
    elif damage == "emptied":
        content.clear()
    elif damage == "no archive":
        content[:] = b"<html>" * 100
    else:
        kept(lambda: MADE, {"weights": "cd"})
        (other,) = set(folder.iterdir()) - {path}
        content = bytearray(other.read_bytes())
    path.write_bytes(content)
    found, notices = kept()
    assert found == MADE
    assert [text.partition(" (")[0] for text in notices] == [
        f"{path.name} in the cache is damaged", "made"
    ]  # fmt: skip
    assert kept(fail) == (MADE, [])


def test_a_folder_that_cannot_be_written_costs_making_it_again(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NAPARI_DEEPMTJ_CACHE", str(tmp_path / "file"))
    found, notices = kept()
    assert found == MADE
    assert "cannot be kept and is made again next time" in notices[-1]


def test_several_that_make_the_same_at_the_same_time_all_get_it(folder):
    together, found = threading.Barrier(4), []

    def make():
        together.wait(timeout=10)  # all of them found nothing
        return MADE

    threads = [threading.Thread(target=lambda: found.append(kept(make)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [MADE] * 4
    assert len(list(folder.iterdir())) == 1  # and no temporary file
    assert kept(fail) == (MADE, [])


def test_an_export_that_fails_leaves_nothing(folder):
    def broken():
        raise ValueError("no such operator")

    with pytest.raises(ValueError, match="no such operator"):
        kept(broken)
    assert not folder.exists() or not list(folder.iterdir())


def test_what_was_not_used_for_long_goes_with_the_next_export(folder):
    kept()
    kept(key={"weights": "used"})
    long_ago = time.time() - 86400 * (backends_cache.UNUSED_DAYS + 1)
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))
    kept(fail, {"weights": "used"})  # used now
    kept(key={"weights": "new"})
    assert len(list(folder.iterdir())) == 2
    assert kept(key={"weights": "used"}, make=fail) == (MADE, [])
    assert kept() == (MADE, ["made"])


def test_figures_are_kept_by_what_they_are_of():
    assert stored_figures(KEY) is None
    store_figures(KEY, {"threads": 2})
    assert stored_figures(KEY) == {"threads": 2}
    assert stored_figures({"weights": "cd"}) is None
    (path,) = (cache_folder() / "speed").iterdir()
    path.write_text(path.read_text()[:-9])
    assert stored_figures(KEY) is None


def test_the_cache_of_a_person_is_the_platforms(monkeypatch):
    monkeypatch.delenv("NAPARI_DEEPMTJ_CACHE")
    assert "napari-deepmtj" in str(cache_folder())
