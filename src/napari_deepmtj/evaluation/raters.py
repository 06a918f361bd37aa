"""Who is to be compared: raters and scales from label files, results, side-cars and open clips.

What they come to is `evaluation.agreement`. No clip is opened here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import CalibrationError, LabelError
from napari_deepmtj.evaluation.agreement import (
    Agreement,
    Rater,
    rater_of_trajectories,
    raters_of_labels,
    study,
)
from napari_deepmtj.labels.written import read_written
from napari_deepmtj.video.opening import VideoSource
from napari_deepmtj.video.sidecar import read_sidecar


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a study can be made of.

    Parameters
    ----------
    raters : tuple of Rater
        Annotators and rounds as the files have them, then models.
    scales : mapping of str to Scale
        Content hash -> scale of every clip that has one.
    """

    raters: tuple[Rater, ...]
    scales: Mapping[str, Scale]

    def compare(self, names: Collection[str] | None = None) -> Agreement:
        """Return the study of the raters of these names, of all if none is given.

        Raises
        ------
        LabelError
            If there is no rater of a name, or as `agreement.study` does.
        """
        there = [rater.name for rater in self.raters]
        for name in names or ():
            if name not in there:
                raise LabelError(f"there is no rater {name!r}, only {'; '.join(there)}")
        chosen = [rater for rater in self.raters if names is None or rater.name in names]
        return study(chosen, self.scales)


def gather(
    files: Iterable[Path],
    trajectories: Sequence[Trajectory] = (),
    *,
    scale: Scale | None = None,
    opened: Iterable[VideoSource] = (),
) -> Gathered:
    """Read the raters of label files, and make one of each model with a result.

    Parameters
    ----------
    files : iterable of Path
        Label files; one that is named twice counts once.
    trajectories : sequence of Trajectory
        Results, at most one of a model and clip.
    scale : Scale, optional
        Of all clips. Without it a scale is that of the clip where it is open, else those of
        the results and of the side-cars beside the label files.
    opened : iterable of VideoSource
        Clips that are open.

    Raises
    ------
    LabelError
        If a file cannot be read, or a model has two results of a clip.
    CalibrationError
        If a clip has two scales.
    """
    labels = {path: read_written(path) for path in _different(files)}
    raters = [*raters_of_labels(_by_name(labels)), *_models(trajectories)]
    if scale is None:
        return Gathered(tuple(raters), _scales(labels, trajectories, opened))
    return Gathered(tuple(raters), {clip: scale for rater in raters for clip in rater.clips})


def _different(files: Iterable[Path]) -> list[Path]:
    """Return each file once, however it is called."""
    return list({path.resolve(): path for path in reversed(list(files))}.values())[::-1]


def _by_name(labels: Mapping[Path, list[Label]]) -> dict[str, list[Label]]:
    """Return the labels by what tells their files apart: the name, else the path as given."""
    names = [path.name for path in labels]
    return {
        path.name if names.count(path.name) == 1 else str(path): found
        for path, found in labels.items()
    }


def _models(trajectories: Sequence[Trajectory]) -> list[Rater]:
    """Return a rater for each model that made a trajectory."""
    of: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        same = of.setdefault(_model_name(trajectory), [])
        if any(t.provenance.clip_sha256 == trajectory.provenance.clip_sha256 for t in same):
            raise LabelError("was given twice of the same model", path=trajectory.provenance.clip)
        same.append(trajectory)
    return [rater_of_trajectories(name, found) for name, found in of.items()]


def _model_name(trajectory: Trajectory) -> str:
    """Return "model ID" as the newest tracking of the provenance says."""
    for operation in reversed(trajectory.provenance.operations):
        said = operation.arguments.get("model") if operation.name == "track" else None
        if isinstance(said, dict) and "id" in said:
            return f"model {said['id']}"
    return "model"


def _scales(
    labels: Mapping[Path, list[Label]],
    trajectories: Sequence[Trajectory],
    opened: Iterable[VideoSource],
) -> dict[str, Scale]:
    """Return the scale of every clip that has one."""
    names = {label.clip for found in labels.values() for label in found}
    shown = {
        source.sha256: source.scale
        for source in opened
        if source.name in names and source.scale is not None
    }
    said: list[tuple[str, str, Scale]] = [
        (t.provenance.clip_sha256, t.provenance.clip, t.provenance.scale)
        for t in trajectories
        if t.provenance.scale is not None
    ]
    beside: dict[Path, set[str]] = {}
    for path, found in labels.items():
        for label in found:
            beside.setdefault(path.parent / label.clip, set()).add(label.clip_sha256)
    for place, (sha256, *others) in sorted((place, list(of)) for place, of in beside.items()):
        info = None if others else read_sidecar(place)  # of clips of one name, whose is it?
        if info is not None and info.scale is not None:
            said.append((sha256, place.name, info.scale))
    scales = dict(shown)
    for sha256, clip, scale in said:
        known = scales.setdefault(sha256, scale)
        if sha256 not in shown and (known.x_mm, known.y_mm) != (scale.x_mm, scale.y_mm):
            raise CalibrationError(
                f"has two scales, {known.x_mm:g} x {known.y_mm:g} mm ({known.source}) and "
                f"{scale.x_mm:g} x {scale.y_mm:g} mm ({scale.source}); give --scale, or open the "
                "clip in napari, where the scale that is shown counts",
                path=clip,
            )
    return scales
