"""`--backend`, which every command that tracks has."""

import json

import pytest

TINY = ("--model", "tiny", "--roi", "full")


@pytest.mark.parametrize("command", ["track", "batch", "evaluate"])
def test_an_unknown_backend_is_refused_and_those_there_are_listed(run, clip, command, tmp_path):
    code, _, err = run(command, clip, "--out", tmp_path, "--backend", "tensorrt")
    assert code == 2
    assert "onnxruntime" in err


def test_the_line_and_the_log_name_what_computed(run, clip):
    code, out, _ = run("track", clip, *TINY, "--backend", "onnxruntime")
    assert code == 0
    assert "frames/s with onnxruntime -> " in out
    said = json.loads(clip.with_name("clip.mtj.json").read_text())["operations"][0]["arguments"]
    assert said["backend"]["name"] == "onnxruntime"
    assert said["device"] == "cpu"
    code, out, _ = run("reproduce", clip.with_name("clip.mtj.json"))
    assert code == 0, out
