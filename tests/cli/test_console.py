"""Tables on the command line are never cut."""

from __future__ import annotations

import sys

import pytest

from napari_deepmtj.cli._console import print_table

HEADER = ("figure", "value", "definition")
ROWS = [("excursion", "13.5", "w" * 30 + " " + "x" * 60), ("cycles", "3", "of the movement")]


def test_in_a_pipe_a_table_is_as_wide_as_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(HEADER, ROWS, "a title")
    out = capsys.readouterr().out
    assert "a title" in out
    assert any("excursion" in line and "x" * 60 in line for line in out.splitlines())


@pytest.mark.parametrize(("columns", "blocks"), [("80", True), ("140", False)])
def test_a_narrow_terminal_gets_one_block_a_row(
    columns: str,
    blocks: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    print_table(HEADER, ROWS)
    out = capsys.readouterr().out
    assert ("definition: " + ROWS[0][2] in out.splitlines()) == blocks
    assert ROWS[0][2] in out
