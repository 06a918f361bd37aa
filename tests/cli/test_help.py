"""Help in groups: every command and option is found, and nothing is cut."""

from __future__ import annotations

import re

import pytest
import typer

from napari_deepmtj.cli._help import COMMANDS, FEW, PANELS
from napari_deepmtj.cli.app import app

NAMES = [name for names in COMMANDS.values() for name in names]


def test_every_command_is_in_one_group() -> None:
    program = typer.main.get_command(app)
    assert sorted(NAMES) == sorted(program.commands)
    assert len(set(NAMES)) == len(NAMES)


def test_every_option_of_a_long_command_is_in_one_panel() -> None:
    known = [name for names in PANELS.values() for name in names]
    assert len(set(known)) == len(known)
    program = typer.main.get_command(app)
    for name in NAMES:
        options = [
            param for param in program.commands[name].params if param.param_type_name == "option"
        ]
        if len(options) > FEW:
            assert [p.name for p in options if p.name not in known] == [], name


def test_the_program_lists_whole_sentences_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["--help"])
    out = capsys.readouterr().out
    assert re.findall(r"^(\w+):$", out, re.MULTILINE) == ["Options", *COMMANDS]
    assert "..." not in out.split("COMMAND [ARGS]...")[1]
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_no_help_is_wider_than_a_terminal_or_cut(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        app([name, "--help"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(r"[a-z]\.\.\.$", out, re.MULTILINE)
