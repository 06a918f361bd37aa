"""`--backend`, which every command that tracks has."""

import json

import pytest

TINY = ("--model", "tiny", "--roi", "full")


@pytest.mark.parametrize("command", ["track", "batch", "evaluate"])
def test_an_unknown_backend_is_refused_and_those_there_are_listed(run, clip, command, tmp_path):
    code, _, err = run(command, clip, "--out", tmp_path, "--backend", "tensorrt")
    assert code == 2
    assert "openvino-int8" in err


def test_the_line_and_the_log_name_what_computed(run, clip):
    pytest.importorskip("openvino")
    code, out, err = run("track", clip, *TINY, "--backend", "openvino")
    assert code == 0
    assert "frames/s with openvino -> " in out
    assert "is made ready for OpenVINO, once" in err
    said = json.loads(clip.with_name("clip.mtj.json").read_text())["operations"][0]["arguments"]
    assert said["backend"]["name"] == "openvino"
    assert said["device"] == "cpu"
    code, out, _ = run("reproduce", clip.with_name("clip.mtj.json"))
    assert code == 0, out
