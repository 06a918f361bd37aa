"""The programs of examples/ run, and each draws its picture."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = sorted(path for path in EXAMPLES.glob("*.py") if path.stem != "tracked")

#: Shorter clips than in the documentation; what is computed is the same.
SHORTER = {"attention": {"frame": 3}, "phantom_frames": {}}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_the_example_draws_its_picture(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    picture = tmp_path / "picture.png"
    main = runpy.run_path(str(program))["main"]
    main(picture, **SHORTER.get(program.stem, {"n_frames": 12}))
    sys.modules.pop("tracked", None)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (
        EXAMPLES.parent / "docs/images/examples" / picture.with_stem(program.stem).name
    ).exists()
