"""`weights import` says what it recognised, and the model can be tracked with at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from osf_server import NAME, remote_at, serving

from napari_deepmtj.weights.remote import REMOTES
from napari_deepmtj.weights.store import MODELS_VARIABLE

pytest.importorskip("h5py", reason="the extra h5 is not installed")

KERAS = Path(__file__).parents[1] / "weights" / "keras"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


def test_import_says_what_it_recognised(run, folder, clip):
    code, out, _ = run("weights", "import", KERAS / "vgg-attention-3.h5")
    assert code == 0
    said = dict(line.split(": ", 1) for line in out.splitlines())
    assert said["recognised"].startswith("VGG-Attention-3, Leitner et al. 2020")
    assert said["input"] == "128 x 64 px, grey 0..255 to -1..1"
    assert said["attention maps"] == "combined, level-1, level-2, level-3"
    assert said["saved"] == str(folder / "vgg-attention-3.safetensors")
    assert "2:1 crop" in said["region"]
    done = run("track", clip, "--model", "vgg-attention-3", "--attention", "level-2")
    assert done[0] == 0, done
    assert clip.with_name("clip.mtj-attention.tif").exists()
    code, _, err = run("weights", "import", KERAS / "vgg-attention-3.h5")
    assert (code, err.count("\n")) == (1, 1)
    assert "add --overwrite or give another --id" in err
    assert run("weights", "import", KERAS / "vgg-attention-3.h5", "--overwrite")[0] == 0


def test_a_published_file_brought_by_hand_is_trusted_on_first_use(run, folder):
    given = ("weights", "import", KERAS / "attention-unet.h5", "--id", "deepmtj-2021")
    code, out, err = run(*given)
    assert code == 0
    assert "licence: CC-BY-4.0" in out
    assert "is trusted on this first use, and compared from now on" in err
    code, _, err = run(*given, "--overwrite")
    assert (code, err) == (0, "")
    other = ("weights", "import", KERAS / "vgg16.h5", "--id", "deepmtj-2021", "--overwrite")
    code, _, err = run(*other)
    assert code == 1
    assert "it is another file" in err


def test_what_is_no_published_network_is_refused_in_a_line(run, folder, tmp_path):
    shutil.copy(__file__, tmp_path / "x.h5")
    for words in (("import", tmp_path / "x.h5"), ("import", tmp_path / "y.h5"), ("download", "x")):
        code, _, err = run("weights", *words)
        assert (code, err.count("\n")) == (1, 1)
        assert err.startswith("error: ")
    assert not folder.exists() or not list(folder.iterdir())


def test_the_list_of_models_offers_the_published_network_and_fetches_it(run, folder, monkeypatch):
    with serving() as server:
        monkeypatch.setitem(REMOTES, "deepmtj-2021", remote_at(server))
        offer = "published network (TBME 2022, CC BY 4.0, 375 MB)"
        assert f"{offer}: napari-deepmtj models --download deepmtj-2021" in run("models")[1]
        code, _, err = run("models", "--download", "deepmtj-2021")
        assert code == 1
        assert "napari-deepmtj weights import FILE --id deepmtj-2021" in err
        server.files["/direct/" + NAME] = (KERAS / "attention-unet.h5").read_bytes()
        code, out, _ = run("models", "--download", "deepmtj-2021")
        assert code == 0
        assert "use it: napari-deepmtj track CLIP --model deepmtj-2021" in out
        assert offer not in run("models")[1]
