"""`napari-deepmtj mechanics`: what a trajectory, with torque and angles, says of a tendon.

What is measured is `mechanics.analysis`; here it is asked for, printed and saved.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_deepmtj.cli._console import print_line, print_notice, print_table
from napari_deepmtj.errors import ChannelError, ResultError
from napari_deepmtj.mechanics.names import MtuModel, Muscle

if TYPE_CHECKING:
    from napari_deepmtj.core.trajectory import Trajectory
    from napari_deepmtj.mechanics.analysis import Analysis, Plan
    from napari_deepmtj.mechanics.channels import Channels
    from napari_deepmtj.mechanics.motion import Motion, Side
    from napari_deepmtj.mechanics.sync import Sync

#: Beside the result, or in --out.
TABLE, CYCLES, SYNC, SUMMARY = (
    ".mtj-mechanics.csv", ".mtj-cycles.csv", ".mtj-sync.csv", ".mtj-mechanics.json",
)  # fmt: skip
SCHEMA = 1

File = Annotated[Path, typer.Argument(metavar="CLIP.mtj.csv", help="A result, smoothed or not.")]


def mechanics(
    result: File,
    distal: Annotated[
        str | None,
        typer.Option(metavar="left|right", help="Distal side; the side-car's by default."),
    ] = None,
    rest: Annotated[
        str | None, typer.Option(metavar="A:B", help="Frames at rest, both included: the zero.")
    ] = None,
    cycles: Annotated[bool, typer.Option(help="Average the cycles of the movement.")] = True,
    baseline: Annotated[
        str | None, typer.Option(metavar="A:B", help="Seconds of rest before the onset.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A followed reference, to be subtracted.")
    ] = None,
    channels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Torque, angles ...: CSV, C3D, or OpenSim.")
    ] = None,
    read: Annotated[
        str,
        typer.Option(metavar="NAME=VALUE,...", help="rate_hz, time, time_unit, part of that file."),
    ] = "",
    sync: Annotated[
        str | None,
        typer.Option(
            metavar="HOW:NAME=VALUE,...",
            help="clock:offset_s=0, trigger:channel=NAME, or correlation:channel=NAME.",
        ),
    ] = None,
    lowpass: Annotated[
        float | None, typer.Option(metavar="HZ", help="Of the channels, before resampling.")
    ] = None,
    flip: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANNEL", help="Counts the other way round; repeatable."),
    ] = None,
    ankle: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Ankle angle, dorsiflexion positive.")
    ] = None,
    ankle_neutral: Annotated[
        float, typer.Option(metavar="DEG", help="What it has with the foot at right angles.")
    ] = 0.0,
    knee: Annotated[
        str | None, typer.Option(metavar="CHANNEL|DEG", help="Knee flexion, 0 straight.")
    ] = None,
    shank: Annotated[
        float | None, typer.Option(metavar="MM", help="Length of the shank: asks for lengths.")
    ] = None,
    mtu_model: Annotated[
        MtuModel, typer.Option(help="Of the length of the muscle-tendon unit.")
    ] = MtuModel.HAWKINS_HULL,
    muscle: Annotated[Muscle, typer.Option(help="Which head.")] = Muscle.MEDIAL_GASTROCNEMIUS,
    torque: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Torque, plantar flexors positive.")
    ] = None,
    moment_arm: Annotated[
        str | None, typer.Option(metavar="CHANNEL|MM", help="Of the tendon about the ankle.")
    ] = None,
    share: Annotated[float, typer.Option(help="Of the torque that this tendon carries.")] = 1.0,
    passive: Annotated[
        Path | None,
        typer.Option(metavar=f"FILE{TABLE}", help="Of the passive trial, made with --ankle."),
    ] = None,
    rest_length: Annotated[
        float | None, typer.Option(metavar="MM", help="Of the tendon: asks for strain.")
    ] = None,
    stiffness: Annotated[
        str, typer.Option(metavar="A:B[N]", help="Range of force, % of the greatest, or N.")
    ] = "50:100",
    out: Annotated[Path | None, typer.Option(help="Folder; beside the result by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier ones.")] = False,
) -> None:
    """Measure displacement, velocity, cycles, and with channels lengths, force and stiffness.

    Prints every figure with its unit and definition; writes the curves as CSV, the figures with
    all parameters as JSON.
    """
    from napari_deepmtj.mechanics.analysis import Plan, analyse
    from napari_deepmtj.results.trajectory_file import read_trajectory

    trajectory = read_trajectory(result)
    low, high = _pair(stiffness.removesuffix("N"), "--stiffness")
    newtons = stiffness.endswith("N")
    plan = Plan(
        _distal(distal, result, trajectory),
        rest=None if rest is None else _whole(rest, "--rest"),
        cycles=cycles,
        baseline=None if baseline is None else _pair(baseline, "--baseline"),
        ankle=ankle,
        knee=_number_or_name(knee),
        ankle_neutral=ankle_neutral,
        flip=tuple(flip or ()),
        shank_mm=shank,
        model=mtu_model,
        muscle=muscle,
        torque=torque,
        moment_arm=_number_or_name(moment_arm),
        share=share,
        rest_length_mm=rest_length,
        force_range=(low, high) if newtons else (low / 100, high / 100),
        force_in_n=newtons,
    )
    folder = result.parent if out is None else out
    files = _Files(folder, result.name.removesuffix(".mtj.csv"), overwrite)
    inputs: dict[str, Any] = {"result": _stamp(result)}
    against = None if reference is None else read_trajectory(reference)
    if reference is not None:
        inputs["reference"] = _stamp(reference)
    beside, found = None, None
    if channels is not None:
        moved = _motion(trajectory, plan, against)
        beside, found, said = _resampled(channels, read, sync, lowpass, moved)
        inputs["channels"] = said
    elif sync or read or lowpass:
        raise typer.BadParameter("--sync, --read and --lowpass are about --channels FILE")
    curve = None
    if passive is not None:
        curve = _passive(passive)
        inputs["passive"] = _stamp(passive)
    done = analyse(trajectory, plan, channels=beside, reference=against, passive=curve)
    _print_figures(done)
    files.write(done, found, _summary(trajectory, plan, inputs, done))


def _distal(said: str | None, result: Path, trajectory: Trajectory) -> Side:
    """Return the distal side as given, or as the side-car beside the result has it."""
    from napari_deepmtj.video.sidecar import read_sidecar

    if said is None:
        info = read_sidecar(result.with_name(trajectory.provenance.clip))
        said = None if info is None else info.distal_side
    if said not in ("left", "right"):
        raise typer.BadParameter(
            "say which side of the picture is distal: left or right", param_hint="--distal"
        )
    return "left" if said == "left" else "right"


def _pair(text: str, option: str) -> tuple[float, float]:
    try:
        first, last = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not A:B", param_hint=option) from error
    if not (math.isfinite(first) and math.isfinite(last) and first < last):
        raise typer.BadParameter(f"{text!r} does not go from less to more", param_hint=option)
    return first, last


def _whole(text: str, option: str) -> tuple[int, int]:
    first, last = _pair(text, option)
    if first != int(first) or last != int(last):
        raise typer.BadParameter(f"{text!r} are no frames", param_hint=option)
    return int(first), int(last)


def _number_or_name(text: str | None) -> str | float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _stamp(path: Path) -> dict[str, Any]:
    import hashlib

    try:
        return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    except OSError as error:
        raise ResultError(f"cannot be read ({error.strerror})", path=path) from error


def _motion(trajectory: Trajectory, plan: Plan, reference: Trajectory | None) -> Motion:
    from napari_deepmtj.mechanics.motion import motion

    moved = motion(trajectory, plan.distal, rest=plan.rest, reference=reference)
    if moved.time_unit != "s":
        raise ChannelError("the clip has no times, so no channel can be brought to them")
    return moved


def _resampled(
    path: Path, read: str, sync: str | None, lowpass: float | None, moved: Motion
) -> tuple[Channels, Sync, dict[str, Any]]:
    """Return channels at the frames' times, how their clock lies, and what was done."""
    from napari_deepmtj.mechanics.channels import read_channels
    from napari_deepmtj.mechanics.resample import resample
    from napari_deepmtj.mechanics.sync import find_sync
    from napari_deepmtj.tracking.steps import parse_settings

    if sync is None:
        raise typer.BadParameter(
            "say how the channels' clock lies to the clip's; clock:offset_s=0 if they began "
            "together",
            param_hint="--sync",
        )
    how, _, rest = sync.partition(":")
    reading = parse_settings(read)
    try:
        channels = read_channels(path, **reading)
        found = find_sync(how, channels, moved, **parse_settings(rest))
    except TypeError as error:
        raise ChannelError(f"--read or --sync: {error}", path=path) from error
    print_line(f"{path.name}: {found.describe()}")
    done = resample(channels, found.offset_s, moved.t, lowpass_hz=lowpass)
    for notice in done.notices:
        print_notice(notice)
    said = {"name": channels.name, "sha256": channels.sha256, "read": reading}
    said |= {"sync": found.to_json(), "resampled": dict(done.settings)}
    return done.channels, found, said


def _passive(path: Path) -> Any:
    import pandas as pd

    from napari_deepmtj.mechanics.analysis import passive_curve

    try:
        return passive_curve(pd.read_csv(path))
    except (OSError, ValueError) as error:
        raise ResultError(f"is no table of a passive trial ({error})", path=path) from error
    except ResultError as error:
        raise ResultError(error.message, path=path) from error


def _summary(
    trajectory: Trajectory, plan: Plan, inputs: dict[str, Any], done: Analysis
) -> dict[str, Any]:
    """Return what the JSON file holds."""
    from napari_deepmtj.core.provenance import Operation

    operation = Operation.now("mechanics", **plan.to_json(), inputs=inputs)
    log = trajectory.provenance.to_json()
    return {
        "schema": SCHEMA,
        "clip": log["clip"],
        "scale": log["scale"],
        "operations": [
            *log["operations"],
            {
                "name": operation.name,
                "arguments": operation.arguments,
                "software": operation.software,
                "when": operation.when,
            },
        ],
        "axis": [float(v) for v in done.motion.axis.direction],
        "positions": "raw" if done.raw else "smoothed or fused",
        "excursion_reliable": done.excursion.reliable,
        "excursion_reason": done.excursion.reason,
        "figures": [
            {
                "name": f.name,
                "value": None if math.isnan(f.value) else f.value,
                "unit": f.unit,
                "definition": f.definition,
            }
            for f in done.figures
        ],
    }


@dataclass(frozen=True)
class _Files:
    """Where things go."""

    folder: Path
    stem: str
    overwrite: bool

    def __post_init__(self) -> None:
        for ending in (TABLE, CYCLES, SYNC, SUMMARY):
            path = self.folder / (self.stem + ending)
            if path.exists() and not self.overwrite:
                raise ResultError("exists; add --overwrite or choose another --out", path=path)

    def write(self, done: Analysis, sync: Sync | None, summary: dict[str, Any]) -> None:
        """Write every file at once, the one with the figures last."""
        import pandas as pd

        from napari_deepmtj.core.atomic import atomic_write

        tables = {TABLE: done.table}
        if done.cycles is not None and len(done.cycles):
            unit = f"_{done.motion.length_unit}"
            named = {"mean": f"mean{unit}", "sd": f"sd{unit}"}
            tables[CYCLES] = done.cycles.to_frame().rename(columns=named)
        if sync is not None and len(sync.shifts_s):
            curve = {"shift_s": sync.shifts_s, "correlation": sync.correlation}
            tables[SYNC] = pd.DataFrame(curve).dropna()
        for ending in {CYCLES, SYNC} - set(tables):  # of an earlier run
            (self.folder / (self.stem + ending)).unlink(missing_ok=True)
        written = []
        for ending, table in tables.items():
            text = table.to_csv(index=False, lineterminator="\n", float_format="%.10g")
            written.append(atomic_write(self.folder / (self.stem + ending), text.encode()))
        text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
        written.append(atomic_write(self.folder / (self.stem + SUMMARY), text.encode()))
        print_line(f"{', '.join(path.name for path in written)}: {self.folder}")


def _print_figures(done: Analysis) -> None:
    rows = [
        (f.name, "-" if math.isnan(f.value) else f"{f.value:.4g}", f.unit, f.definition)
        for f in done.figures
    ]
    print_table(("figure", "value", "unit", "definition"), rows)
    if done.raw:
        print_notice(
            "the positions are the network's, neither smoothed nor fused: of all figures the "
            "excursion alone leaves outliers out; track with --smooth or --fuse, and measure again"
        )
