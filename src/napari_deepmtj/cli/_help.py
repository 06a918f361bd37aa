"""How help is laid out: commands and options in groups, and nothing cut at any width."""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

#: Commands by groups, in the order of the help; each is the function of that name, with
#: underscores, in its own file.
COMMANDS = {
    "Start": ("demo", "track", "batch", "models"),
    "Study": ("process", "reference", "mechanics", "export", "evaluate", "agree", "reproduce"),
    "Train": ("labels", "train", "fit-confidence", "composites", "phantom"),
    "Tools": ("weights",),
}

#: Options by panels; a command has those of its own, and what is not here comes under "Options".
PANELS = {
    "Clips": (
        *(
            "study",
            "include",
            "pattern",
            "dry_run",
            "data",
            "cohort",
            "real",
            "subjects",
            "subject_pattern",
        ),
        *("annotator", "split", "phantom", "videos", "frames", "seed", "styles", "roi", "scale"),
        *("preset", "presets", "clip", "distal", "rest", "baseline", "cycles", "reference"),
    ),
    "Model and machine": (
        *("model", "start", "tracker", "device", "backend", "batch", "frames_at_once", "workers"),
        *("clips_at_once", "scheduler", "epochs", "recipe", "from_", "name", "install"),
    ),
    "After tracking": (
        *("fuse", "subtract_slip", "smooth", "gate", "limits", "max_gap", "exclude", "attention"),
    ),
    "External channels": (
        *("channels", "sync", "read", "lowpass", "measure", "flip", "ankle", "ankle_neutral"),
        *("knee", "torque", "passive"),
    ),
    "Muscle and tendon": (
        *("shank", "mtu_model", "muscle", "moment_arm", "share", "rest_length", "stiffness"),
    ),
    "Results": (
        *("out", "to", "unit", "rate", "interpolation", "leave_gaps_out", "trail", "findings"),
        *("video", "report", "worst", "labelled_only", "with_partial", "overwrite"),
    ),
}
#: Options up to which they are listed without panels.
FEW = 8


class Command(TyperCommand):
    """A command whose help lists many options by panels."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options."""
        panel_of = {name: panel for panel, names in PANELS.items() for name in names}
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        sections |= {panel: [] for panel in PANELS} | {"Options": []}
        params = self.get_params(ctx)
        few = sum(not isinstance(param, TyperArgument) for param in params) <= FEW
        for param in params:
            record = param.get_help_record(ctx)
            if record is None:
                continue
            panel = "Options" if few else panel_of.get(param.name or "", "Options")
            sections["Arguments" if isinstance(param, TyperArgument) else panel].append(record)
        _write(formatter, sections)


class Group(TyperGroup):
    """The program, whose help lists its commands in groups with their whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands; those of a command that has its own in one group."""
        here = self.list_commands(ctx)
        top = set(here) <= {name for names in COMMANDS.values() for name in names}
        sections: dict[str, list[tuple[str, str]]] = {}
        for group, names in (COMMANDS if top else {"Commands": tuple(here)}).items():
            commands = ((name, self.get_command(ctx, name)) for name in names)
            sections[group] = [
                (name, command.get_short_help_str(limit=1000))
                for name, command in commands
                if command is not None
            ]
        _write(formatter, sections)


def _write(formatter: Any, sections: dict[str, list[tuple[str, str]]]) -> None:
    for title, records in sections.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
