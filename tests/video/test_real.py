"""Real recordings open, read and are what they are known to be; skipped where absent."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.video.opening import open_video

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "real"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recordings at {REAL}")


def test_mtj_clip() -> None:
    with open_video(REAL / "mtj" / "mtj_clip.avi") as source:
        assert (source.n_frames, source.height, source.width) == (44, 128, 256)
        assert source.times.rate == pytest.approx(25)
        assert source.metadata["colour_range"] == "full"
        assert source.notices == ()
        frames = list(source.frames())
        for n in np.random.default_rng(0).permutation(44):
            np.testing.assert_array_equal(source.read(int(n)), frames[n])
        # a loop cut lies between frames 38 and 39
        steps = [
            np.abs(np.diff(np.array(p, int), axis=0)).mean() for p in itertools.pairwise(frames)
        ]
        assert int(np.argmax(steps)) == 38


@pytest.mark.parametrize(
    "path", sorted((REAL / "muscle_video").glob("*.mp4")), ids=lambda path: path.stem
)
def test_screen_recordings(path) -> None:
    with open_video(path) as source:
        assert (source.height, source.width) == (624, 1148)
        assert source.times.rate == pytest.approx(61, abs=0.5)
        assert source.notices == ()
        n = source.n_frames
        some = sorted({0, 1, n // 3, n // 2, n - 2, n - 1})
        expected = {i: f for i, f in enumerate(source.frames()) if i in some}
        for i in reversed(some):
            np.testing.assert_array_equal(source.read(i), expected[i])


@pytest.mark.parametrize(
    "path",
    sorted([*(REAL / "muscle_still").glob("*"), *(REAL / "mtj").glob("*.png")]),
    ids=lambda path: path.name,
)
def test_stills(path) -> None:
    with open_video(path) as source:
        assert source.n_frames == 1
        assert source.notices == ()
        assert source.read(0).shape == (source.height, source.width)
        assert source.read(0).std() > 10
