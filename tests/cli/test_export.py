import pytest

from napari_deepmtj.results import formats as interchange
from napari_deepmtj.results.trajectory_file import read_trajectory

TINY = ("--model", "tiny", "--roi", "full", "--scale", "0.1")


@pytest.fixture
def csv(run, clip):
    assert run("track", clip, *TINY)[0] == 0
    return clip.with_name("clip.mtj.csv")


def test_beside_the_result_by_default(run, csv):
    code, out, err = run("export", csv, "--to", "sto")
    assert (code, err) == (0, "")
    assert out == f"clip.avi -> {csv.with_name('clip.sto')}\n"
    (track,) = interchange.read(csv.with_name("clip.sto"), "sto")
    assert track.xy == pytest.approx(read_trajectory(csv).xy_px * 0.1)


def test_options_reach_the_file(run, csv, tmp_path):
    path = tmp_path / "sub" / "a.trc"
    words = ("--unit", "m", "--rate", 50, "--interpolation", "linear", "--out", path)
    code, _, err = run("export", csv, "--to", "trc", *words)
    assert code == 0
    assert "resampled to 50 Hz, linear" in err
    (track,) = interchange.read(path, "trc")
    assert (track.unit, track.rate) == ("m", pytest.approx(50))


def test_several_into_a_folder_and_into_one_table(run, csv, tmp_path):
    other = tmp_path / "two" / "b.mtj.csv"
    other.parent.mkdir()
    other.write_bytes(csv.read_bytes())
    text = csv.with_name("clip.mtj.json").read_text().replace('"clip.avi"', '"b.avi"')
    other.with_name("b.mtj.json").write_text(text)
    assert run("export", csv, other, "--to", "dlc-csv", "--out", tmp_path / "out")[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bDLC_napari-deepmtj.csv",
        "clipDLC_napari-deepmtj.csv",
    ]
    code, _, err = run("export", csv, other, "--to", "tidy")
    assert code == 2
    assert "--out" in err
    table = tmp_path / "all.csv"
    code, out, _ = run("export", csv, other, "--to", "tidy", "--out", table)
    assert (code, out) == (0, f"2 results -> {table}\n")
    assert [track.clip for track in interchange.read(table, "tidy")] == ["clip.avi", "b.avi"]


def test_one_that_fails_does_not_stop_the_others(run, csv, tmp_path):
    missing = tmp_path / "none.mtj.csv"
    code, out, err = run("export", missing, csv, "--to", "mot")
    assert code == 1
    assert "clip.avi -> " in out
    assert "error: none.mtj.csv: there is no such file" in err
    assert err.endswith("error: 1 of 2 results failed\n")


def test_nothing_is_replaced_unasked(run, csv):
    assert run("export", csv, "--to", "sto")[0] == 0
    before = csv.with_name("clip.sto").stat().st_mtime_ns
    code, _, err = run("export", csv, "--to", "sto")
    assert code == 1
    assert "clip.sto: exists; add --overwrite" in err
    assert csv.with_name("clip.sto").stat().st_mtime_ns == before
    assert run("export", csv, "--to", "sto", "--overwrite")[0] == 0


def test_two_results_of_one_name_do_not_share_a_file(run, csv, tmp_path):
    other = tmp_path / "two" / "clip.mtj.csv"
    other.parent.mkdir()
    for suffix in (".csv", ".json"):
        there = other.with_suffix(suffix)
        there.write_bytes(csv.with_suffix(suffix).read_bytes())
    code, _, err = run("export", csv, other, "--to", "sto", "--out", tmp_path / "out")
    assert code == 1
    assert "would both be exported to clip.sto" in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--to", "xlsx"), "'xlsx' is no format; choose tidy, netcdf"),
        (("--to", "sto", "--unit", "inch"), "'inch' is unknown; choose px, mm, m"),
        (("--to", "sto", "--rate", "0"), "give more than 0"),
        (("--to", "dlc-csv", "--rate", "50"), "leave the rate out"),
    ],
)
def test_impossible_words(run, csv, words, complaint):
    code, _, err = run("export", csv, *words)
    assert code in (1, 2)
    assert complaint in " ".join(err.replace("│", " ").split())


def test_a_video_with_trail_and_attention(run, clip, csv):
    from napari_deepmtj.video.opening import open_video

    code, _, err = run("export", csv, "--to", "video", "--attention")
    assert code == 1
    assert "track it again with --attention" in err
    assert run("track", clip, *TINY, "--attention", "combined", "--overwrite")[0] == 0
    clip.rename(clip.with_name("renamed.avi"))
    out = csv.with_name("annotated.avi")
    code, _, err = run("export", csv, "--to", "video", "--attention", "--trail", 5, "--out", out)
    assert (code, err) == (0, "")
    with open_video(out) as source:
        assert source.n_frames == 12
        assert source.metadata["codec"] == "mjpeg"


@pytest.mark.parametrize(
    ("to", "name", "start"),
    [
        ("report-html", "clip-report.html", b"<!DOCTYPE html>"),
        ("report-pdf", "clip-report.pdf", b"%PDF"),
        ("methods", "clip-methods.md", b"# Methods"),
    ],
)
def test_what_people_read(run, csv, to, name, start):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    code, out, _ = run("export", csv, "--to", to)
    assert (code, out) == (0, f"clip.avi -> {csv.with_name(name)}\n")
    assert csv.with_name(name).read_bytes().startswith(start)


def test_the_help_names_what_there_is():
    from napari_deepmtj.cli import export
    from napari_deepmtj.results import formats as interchange

    assert tuple(interchange.FORMATS) == export.TABLES
    assert (interchange.UNITS, interchange.INTERPOLATIONS) == (export.UNITS, export.INTERPOLATIONS)
