"""Memory does not grow with the length of a clip: a short slice of `benchmarks/long_clip.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from napari_deepmtj.video.ffmpeg import source as _av
from napari_deepmtj.video.opening import open_video

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "long_clip.py"


def test_a_long_clip_takes_little_more_than_a_short_one() -> None:
    # 1500 frames would take 73 MB if they were kept.
    command = [sys.executable, str(BENCHMARK), "--clip", "h264.mp4", "--json"]
    command += ["--frames", "1500", "--reads", "3"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    grown = json.loads(done.stdout)["h264.mp4"]
    assert grown["open_mb"] < 10
    assert grown["sequential_mb"] < 20
    assert grown["random_mb"] < 60


def test_the_cache_is_bounded(clip_folder, clips, monkeypatch) -> None:
    clip = clips["h264_long_gop.mp4"]
    height, width = clip.size
    monkeypatch.setattr(_av, "CACHE_BYTES", 10 * height * width)
    with open_video(clip_folder / clip.file) as source:
        for n in np.random.default_rng(0).integers(0, clip.n, 30):
            source.read(int(n))
            assert len(source._cache) <= 10
