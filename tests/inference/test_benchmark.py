import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DOCUMENT = BENCHMARKS.parent / "docs" / "explanation" / "performance.md"


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_slice_of_the_benchmark_runs_and_fills_the_document(tmp_path):
    document, figures = tmp_path / "performance.md", tmp_path / "figures.json"
    document.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "run.py", "--quick", "--output", document, "--json", figures]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text(encoding="utf-8"))
    (speed,) = found["speeds"]
    assert (speed["kind"], speed["backend"], speed["n"]) == ("h264.mp4", "torch", 12)
    assert 0 < speed["first_s"] < speed["track_s"]
    assert speed["decode_s"] > 0 < speed["network_s"]
    assert 0 < found["flow_s"] < float("inf")
    (profile,) = found["profile"].values()
    assert sum(profile.values()) == pytest.approx(1)
    assert {"network", "decode of the clip"} <= set(profile)
    text = document.read_text(encoding="utf-8")
    row = f"| {speed['model']} | torch | {speed['track_s']:.2f} | "
    assert row in text
    assert found["machine"] in text


def test_a_repeated_clip_has_every_frame_in_the_file(tmp_path, benchmarks):
    import numpy as np

    from napari_deepmtj.video.opening import open_video
    from napari_deepmtj.video.writer import VideoWriter
    from speed_clips import repeat

    frames = np.random.default_rng(0).integers(0, 256, (7, 32, 64), dtype=np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 32, 64, 25.0) as writer:
        for frame in frames:
            writer.add(frame)
    repeat(tmp_path / "a.mp4", tmp_path / "b.mp4", 20)
    with open_video(tmp_path / "a.mp4") as once, open_video(tmp_path / "b.mp4") as again:
        assert again.n_frames == 21
        shown = np.stack(list(again.frames()))
        np.testing.assert_array_equal(shown, np.concatenate([np.stack(list(once.frames()))] * 3))
        assert np.diff(again.times.seconds) == pytest.approx(1 / 25)


def test_the_parts_of_a_profile_are_told_by_the_innermost_function(benchmarks):
    from speed_profile import part_of

    class Code:
        def __init__(self, file, name):
            self.co_filename, self.co_name = file, name

    class Frame:
        def __init__(self, file, name, back=None):
            self.f_code, self.f_back = Code(file, name), back

    track = Frame("/x/napari_deepmtj/inference/predictor.py", "track")
    infer = Frame("/x/napari_deepmtj/inference/backends_torch.py", "infer", track)
    assert part_of(track) == "everything else"
    assert part_of(infer) == "network"
    assert part_of(Frame("/x/torch/nn/modules/conv.py", "forward", infer)) == "network"
    assert part_of(Frame("C:\\napari_deepmtj\\inference\\peak.py", "find_peak", track)) == (
        "decode of the maps"
    )
    assert part_of(Frame("/usr/lib/python3/threading.py", "wait", track)) is None
    assert part_of(Frame("/x/torch/conv.py", "forward")) is None


def test_the_ratio_is_to_the_slower_part(benchmarks):
    from run import Speed, speed_row

    speed = Speed("h264.mp4", "compact", "torch", 200, 0.4, 0.5, 0.55, 0.05)
    assert speed.ratio == pytest.approx(0.5 / 0.55)
    assert speed_row(speed)[-5:] == ["500", "400", "364", "0.91", "0.05"]


def test_the_profile_alone_leaves_other_tables_as_they_are(benchmarks):
    from run import Found, tables

    found = Found("two cores", 20, profile={"compact, torch": {"network": 0.75, "resize": 0.25}})
    made = tables(found)
    assert list(made) == ["profile"]
    assert "| network | 75.0% |" in made["profile"]
    assert "two cores" in made["profile"]


def test_a_line_of_the_interactive_table_says_whether_it_is_met(benchmarks):
    from interactive import row

    times = [0.010, 0.020, 0.030]
    assert row("a", times, "ms", "< 30 ms", True) == ["a", "20 ms", "29 ms", "< 30 ms", "yes"]
    assert row("b", [1.5], "s", "< 1 s", False) == ["b", "1.50 s", "1.50 s", "< 1 s", "no"]
    assert row("c", [1.5], "s", "", None)[-1] == ""
