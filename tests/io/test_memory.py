"""Memory does not grow with the length of a clip: a short slice of `benchmarks/long_clip.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from napari_deepmtj.io import _av
from napari_deepmtj.io.video import open_video

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "long_clip.py"


def test_a_long_clip_takes_little_more_than_a_short_one() -> None:
    # 2000 frames would take 98 MB if they were kept; the cache may keep 64 MB.
    command = [sys.executable, str(BENCHMARK), "--frames", "2000", "--reads", "20", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for name, grown in json.loads(done.stdout).items():
        assert grown["open_mb"] < 10, name
        assert grown["sequential_mb"] < 20, name
        assert grown["random_mb"] < 90, name


def test_the_cache_is_bounded(clip_folder, clips, monkeypatch) -> None:
    clip = clips["h264_long_gop.mp4"]
    height, width = clip.size
    monkeypatch.setattr(_av, "CACHE_BYTES", 10 * height * width)
    with open_video(clip_folder / clip.file) as source:
        for n in np.random.default_rng(0).integers(0, clip.n, 30):
            source.read(int(n))
            assert len(source._cache) <= 10
