"""The lazy array: numpy's answers, without numpy's memory."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video import frames as frames_module
from napari_deepmtj.video.frames import LazyFrames
from napari_deepmtj.video.stacks.stack import ArraySource


@pytest.fixture
def whole(make_picture) -> np.ndarray:
    return np.stack([make_picture(n) for n in range(15)])


@pytest.fixture
def lazy(whole, monkeypatch) -> LazyFrames:
    source = ArraySource(whole)
    source.asked = []
    real = source.read
    monkeypatch.setattr(source, "read", lambda n: source.asked.append(n) or real(n))
    return LazyFrames(source)


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(4),
        slice(2, 9),
        slice(None, None, -4),
        slice(9, 2),
        (slice(7, 8), slice(None), slice(None)),
        (3, 4),
        (3, 4, 5),
        (3, slice(1, 9), slice(None, None, 2)),
        (slice(1, 4), 5),
        (slice(1, 4), 5, slice(3, 9)),
        (slice(1, 4), slice(0, 3), 7),
        [1, 5, 3],
        np.array([2, 2, 14]),
        (np.array([1, 5]), slice(3, 9)),
        np.arange(15) % 2 == 0,
        (Ellipsis, 4),
        (2, Ellipsis),
        Ellipsis,
        (),
    ],
    ids=str,
)
def test_indexing_is_numpys(lazy, whole, key) -> None:
    ours = lazy[key]
    np.testing.assert_array_equal(ours, whole[key])
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == np.uint8
    assert ours.flags.writeable or ours.ndim == 0


def test_reads_only_what_is_asked_for(lazy) -> None:
    lazy[(slice(7, 8), slice(None), slice(None))]
    lazy[2:8:3]
    lazy[-1, 3:5]
    assert lazy.source.asked == [7, 2, 5, 14]


def test_is_like_an_array(lazy, whole) -> None:
    assert (lazy.shape, lazy.ndim, lazy.size, len(lazy)) == (whole.shape, 3, whole.size, 15)
    assert lazy.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(lazy), whole)
    assert np.asarray(lazy, dtype=np.float32).dtype == np.float32


def test_bad_indices(lazy) -> None:
    for key in (15, -16, (0, 0, 0, 0), (slice(None), [1, 2]), np.zeros((2, 2), int), (0, 99)):
        with pytest.raises(IndexError):
            lazy[key]


def test_a_huge_clip_is_not_loaded_whole(lazy, monkeypatch) -> None:
    monkeypatch.setattr(frames_module, "LOAD_LIMIT", lazy.nbytes - 1)
    with pytest.raises(VideoError, match="slice it"):
        np.asarray(lazy)
    assert lazy.source.asked == []


def test_slicing_from_threads(clip_folder, clips, show_number) -> None:
    from napari_deepmtj.video.opening import open_video

    wrong = []

    def work(seed: int) -> None:
        order = np.random.default_rng(seed).integers(0, 60, 40).tolist()
        wrong.extend(n for n in order if show_number(lazy[slice(n, n + 1), :, :][0]) != n)

    with open_video(clip_folder / "mjpeg.avi") as source:
        lazy = LazyFrames(source)
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert wrong == []
