"""The README does what it says: its commands run, its links lead somewhere, its versions agree."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from napari_deepmtj.cli.app import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    "README.md",
    "CHANGELOG.md",
    *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")),
]


def block(section: str, language: str) -> str:
    """Return the fenced block of a language in a section."""
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.search(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)[1]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands of the quick start were run."""
    folder = tmp_path_factory.mktemp("quick-start")
    scripts = str(Path(sys.executable).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in block("Quick start", "sh").splitlines():
            program, *words = shlex.split(line, comments=True)
            assert shutil.which(program, path=scripts), f"{program} is not beside {sys.executable}"
            with pytest.raises(SystemExit) as left:  # as the program, without loading torch anew
                main(words)
            assert not left.value.code, line
    return folder


def test_the_quick_start_tracks_a_clip(started: Path) -> None:
    table = pd.read_csv(started / "clips" / "subject_001" / "passive-rom_1.mtj.csv")
    assert len(table) == 25
    columns = (ROOT / "docs/reference/results.md").read_text(encoding="utf-8")
    listed = re.findall(r"`([a-z0-9_]+)`", columns)
    assert set(table.columns) <= set(listed)
    errors = pd.read_csv(started / "evaluation" / "evaluation.csv")
    assert errors["frame"].tolist() == list(range(25))


def test_the_python_of_the_quick_start_does_the_same(started: Path) -> None:
    clip = started / "clips" / "subject_001" / "passive-rom_1.avi"
    shutil.copy(clip, started / "clip.avi")
    shutil.copy(clip.with_suffix(".mtj-clip.json"), started / "clip.mtj-clip.json")
    code = block("Quick start", "python")
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=started, check=True, timeout=300
    )
    by_command = pd.read_csv(clip.with_suffix(".mtj.csv"))
    by_python = pd.read_csv(started / "clip.mtj.csv")
    pd.testing.assert_frame_equal(by_command, by_python)


def run_commands(page: str) -> None:
    """Carry out the `sh` blocks of a page in the current folder, one process for all."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, table in re.findall(r"`(\w+\.csv)`:\n\n```csv\n(.*?)```", text, flags=re.DOTALL):
        Path(name).write_text(table, encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    for line in "".join(blocks).splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "napari-deepmtj"
        with pytest.raises(SystemExit) as left:
            main(words)
        assert not left.value.code, line
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(code, page, "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("track-a-clip", "clips/subject_001/passive-rom_1.mtj.csv evaluation/report.html"),
        ("label-and-fine-tune", "fine/mine.safetensors comparison/report.html"),
        ("study-in-batch", "results/clips.csv results/frames.csv results/report.html"),
    ],
)
def test_the_tutorial_runs(
    page: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_commands(f"docs/start/{page}.md")
    for name in made.split():
        assert (tmp_path / name).stat().st_size > 0, name


def anchors(page: Path) -> set[str]:
    """Return what a link can point at in a page, as GitHub and MkDocs name its headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "page", [name for name in PAGES if "](" in (ROOT / name).read_text(encoding="utf-8")]
)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        other = ROOT / page if not name else (ROOT / page).parent / name
        assert other.exists(), target
        if anchor:
            assert anchor in anchors(other), target


def test_versions_agree() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    pinned = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert set(re.findall(r"torch==([\d.]+)", README)) == {pinned}
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(
        encoding="utf-8"
    )
    for extra in re.findall(r"\.\[(\w+)\]", README):
        assert extra in project["optional-dependencies"]


def test_every_direct_dependency_is_pinned() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        data = tomllib.load(file)
    wanted = [*data["project"]["dependencies"], *data["dependency-groups"]["test"]]
    wanted += data["project"]["optional-dependencies"]["plots"]
    names = {re.match(r"[\w.-]+", line)[0].lower() for line in wanted}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if not line.startswith("#")}
    assert names - pinned == set()
