import json
import subprocess
import sys

import pytest

import napari_deepmtj
from napari_deepmtj.cli import _jobs, app
from napari_deepmtj.cli._help import COMMANDS
from napari_deepmtj.cli._jobs import run_job
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError, MissingExtraError, VideoError

NAMES = [name for names in COMMANDS.values() for name in names]


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    for name in NAMES:
        assert f"\n  {name} " in out


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(run, name):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"Usage: napari-deepmtj {name}" in out


def test_version(run):
    assert run("--version") == (0, f"napari-deepmtj {napari_deepmtj.__version__}\n", "")


def test_bad_usage_is_2(run):
    for words in (["no-such-command"], ["track"], ["track", "x.avi", "--no-such-option"]):
        code, _, err = run(*words)
        assert code == 2
        assert "Error: " in err


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from napari_deepmtj.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'napari', 'av', 'pandas', 'scipy', 'matplotlib', 'skimage'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def broken(monkeypatch):
    """Make `models` raise what the test wants."""

    def set_error(error):
        def fail():
            raise error

        monkeypatch.setattr("napari_deepmtj.weights.store.find_models", fail)

    return set_error


def test_our_errors_are_one_line_and_1(run, broken):
    broken(VideoError("is torn\nhere", path="/some/folder/clip.avi", frame=3))
    assert run("models") == (1, "", "error: clip.avi, frame 3: is torn here\n")


def test_a_missing_extra_is_named(run, broken):
    broken(MissingExtraError("the time plot", "plots"))
    code, _, err = run("models")
    assert code == 1
    assert err.count("\n") == 1
    assert 'pip install "napari-deepmtj[plots]"' in err


def test_ctrl_c_is_130(run, broken):
    broken(KeyboardInterrupt())
    assert run("models")[0] == 130


def test_a_mistake_in_the_program_is_not_hidden(broken):
    broken(ZeroDivisionError("a mistake"))
    with pytest.raises(ZeroDivisionError):
        app.main(["models"])


def test_models_are_listed_with_what_they_are(run):
    code, out, err = run("models")
    assert (code, err) == (0, "")
    assert (
        "tiny: version 3, BSD-3-Clause, network compact, input 64 x 32 px, attention maps "
        "combined, gate-1, gate-2; trained on nothing at all\n" in out
    )


def test_a_whole_card_is_json(run, models):
    for spec in ("tiny", models / "tiny.safetensors"):
        code, out, _ = run("models", spec)
        assert code == 0
        assert json.loads(out)["id"] == "tiny"


def test_a_bad_file_among_the_models_is_told(run, monkeypatch, tmp_path):
    (tmp_path / "bad.safetensors").write_text("no")
    monkeypatch.setenv("NAPARI_DEEPMTJ_MODELS", str(tmp_path))
    code, _, err = run("models")
    assert code == 1
    assert err.startswith("error: bad.safetensors: is no safetensors file")


class Job:
    """A generator of events that notes whether it was closed."""

    def __init__(self, *events):
        self.events = events
        self.closed = False

    def __call__(self):
        try:
            yield from self.events
        finally:
            self.closed = True


def test_a_job_is_followed_to_its_result(capsys):
    job = Job(Progress(1, 2), Notice("slow today"), object(), Progress(2, 2, "clip", "b"), Done(7))
    assert run_job(job(), "working") == 7
    assert job.closed
    assert capsys.readouterr().err == "note: slow today\n"


def test_a_job_that_fails_raises_its_error():
    job = Job(Progress(1, 2), Failed(VideoError("torn")))
    with pytest.raises(VideoError, match="torn"):
        run_job(job(), "working")
    assert job.closed


def test_a_jobs_own_events_can_be_followed():
    job = Job(3, Progress(1, 2), 5, Done("end"))
    seen = []
    assert run_job(job(), "working", seen.append) == "end"
    assert seen == [3, 5]


def test_a_job_without_an_end_is_a_failure():
    with pytest.raises(DeepMTJError, match="without a result"):
        run_job(Job(Progress(1, 2))(), "working")


def test_an_interrupted_job_is_closed(monkeypatch):
    def interrupt(text):
        raise KeyboardInterrupt

    monkeypatch.setattr(_jobs, "print_notice", interrupt)
    job = Job(Notice("x"), Done(1))
    events = job()
    with pytest.raises(KeyboardInterrupt):
        run_job(events, "working")
    assert job.closed


def test_a_folder_for_made_up_clips_that_cannot_be_made(run, tmp_path):
    (tmp_path / "file").touch()
    words = ("--subjects", 1, "--videos", 1, "--frames", 2)
    code, out, err = run("phantom", "--out", tmp_path / "file" / "in", *words)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: passive-rom_1.avi: cannot be written")
