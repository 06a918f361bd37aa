"""What a person says of a clip - scale, region, distal side - and the layers to say it on.

Nothing is measured here: lines, pictures and rulers are the business of the room `calibration`,
millimetres of results of `core.trajectory`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj._napari.layers import convert, drawings
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import CalibrationError
from napari_deepmtj.video.sidecar import ClipInfo, DistalSide, read_sidecar, write_sidecar

if TYPE_CHECKING:
    from napari_deepmtj._napari.viewer.session import Session
    from napari_deepmtj.calibration.picture import Detection
    from napari_deepmtj.calibration.scale import Suggestion

#: Clips whose picture was looked for without being asked.
_LOOKED: weakref.WeakSet[Any] = weakref.WeakSet()


# ----- millimetres ----------------------------------------------------------------------------


def apply_scale(session: Session, clip: Any, scale: Scale) -> None:
    """Give a clip another scale: its layer, every layer that belongs to it, and every number.

    Raises
    ------
    CalibrationError
        While a job runs, whose numbers would be of the old one, or if no B-mode picture is of the
        size that the scale gives.
    """
    info = clips.info_of(clip)
    scale.for_picture(*clips.size_of(clip)[1:], info.roi)
    if session.running:
        raise CalibrationError("a job is running; apply the scale when it has ended")
    old = Placement.of_layer(clip)
    with session.updating():
        clips.remember(clip, replace(info, scale=scale))
        old.calibrated(scale).apply_picture_to(clip)
        _carry_along(session, clip, old, rescale=True)
    session.refresh()
    session.proposal = None
    if clip is session.active:
        session.look_at(clip)


def follow(session: Session, clip: Any, old: Placement) -> None:
    """Carry along what belongs to a clip whose layer was placed anew past this plugin."""
    now = Placement.of_layer(clip).scale_mm("layer")
    rescale = old.scale_mm("layer") != now
    with session.updating():
        _carry_along(session, clip, old, rescale)
    session.refresh()
    if rescale and now is None:
        session.tell(f"{clip.name} is without a scale now: no B-mode picture is as it was placed.")
    if rescale and session.running:
        session.tell(
            f"The scale of {clip.name} was changed while a job runs; what that finds is in the old "
            "one. Apply a scale in Calibrate when it has ended."
        )


def _carry_along(session: Session, clip: Any, old: Placement, rescale: bool) -> None:
    """Bring all that belongs to a clip from where that lay before to where it lies now."""
    new, scale = Placement.of_layer(clip), clips.info_of(clip).scale
    for layer in session.layers_of(clip):
        if layer is clip:
            continue
        Placement.of_layer(layer).following(old, new).apply_picture_to(layer)
        new.apply_time_to(layer)
        if rescale and convert.kind_of(layer) is Kind.TRAJECTORY:
            result = convert.trajectory_of(layer)
            if result.provenance.scale != scale:
                convert.show_trajectory(layer, result.rescaled(scale))


def compare_scales(session: Session, name: str, result: Trajectory, clip: Any) -> None:
    """Tell a person that a result was saved with another scale than its clip has."""
    theirs, ours = result.provenance.scale, clips.info_of(clip).scale
    if not (theirs is None if ours is None else ours.same_as(theirs)):
        session.tell(
            f"{name} was saved with {clips.describe_scale(theirs)}; the clip has "
            f"{clips.describe_scale(ours)}. Apply a scale in Calibrate to give both the same."
        )


def draw_lines(session: Session, clip: Any) -> None:
    """Have a person draw on the canvas: from mark to mark, with the mouse held down."""
    layer = session.find(clip, Kind.RULER)
    if layer is None:
        made = drawings.layer_of_ruler(clip.name, Placement.of_layer(clip), clips.id_of(clip))
        layer = session.add(clip, made)
    session.viewer.layers.selection.active = layer
    layer.visible = True
    layer.mode = "add_line"


def disarm(session: Session) -> None:
    """Put the tools of rulers and regions down, and select the clip again."""
    viewer = session.viewer
    for clip in session.clips():
        for kind in (Kind.RULER, Kind.REGION):
            layer = session.find(clip, kind)
            if layer is None or layer.mode == "pan_zoom":
                continue
            layer.mode = "pan_zoom"
            if viewer.layers.selection.active is layer:
                viewer.layers.selection.active = clip


def suggest(session: Session, clip: Any, take: Callable[[Suggestion], None]) -> None:
    """Read the ruler of the screen in the background; `take` gets what was found."""
    from napari_deepmtj.calibration.scale import suggest_scale

    source, roi = clips.source_of(clip), clips.info_of(clip).roi

    def taken(found: Suggestion | None) -> None:
        if found is None:
            session.tell("No ruler was found; draw a line between two marks instead.")
        elif clip in session.viewer.layers:
            _show_ticks(session, clip, found)
            if clip is session.active:
                take(found)
            else:  # a proposal is for the active clip
                session.tell(f"A ruler was found in {clip.name}; suggest again with that clip.")

    _search(session, lambda: suggest_scale(source, roi), taken, "Reading the ruler...")


def _show_ticks(session: Session, clip: Any, found: Suggestion) -> None:
    with session.updating():
        if (old := session.find(clip, Kind.TICKS)) is not None:
            session.viewer.layers.remove(old)
        placement, key = Placement.of_layer(clip), clips.id_of(clip)
        session.add(clip, drawings.layer_of_ticks(found.ticks, clip.name, placement, key))


# ----- the region -----------------------------------------------------------------------------


def show_region(session: Session, clip: Any, roi: Roi) -> Any:
    """Make `roi` the region of a clip: keep it in its metadata, and show its rectangle."""
    clips.remember(clip, replace(clips.info_of(clip), roi=roi))
    layer, placement = session.find(clip, Kind.REGION), Placement.of_layer(clip)
    with session.updating():
        if layer is None:
            made = drawings.layer_of_roi(roi, clip.name, placement, clips.id_of(clip))
            layer = session.add(clip, made, above=clip)
        else:
            drawings.show_roi(layer, roi, placement)
    session.refresh()
    return layer


def region_of(chosen: Any, clip: Any) -> str | Roi:
    """Return the region of a clip that was chosen in a form.

    Parameters
    ----------
    chosen : str or Shapes
        "auto" (that of the clip, else automatic), "full", "preset:NAME", or a layer in which a
        rectangle is drawn.
    clip : Image
        The clip.

    Raises
    ------
    CalibrationError
        If there is no such region.
    """
    from napari_deepmtj.calibration.roi import resolve_roi

    if not isinstance(chosen, str):
        return clips.drawn_region(chosen, clip)
    if chosen == "auto":
        return clips.info_of(clip).roi or "auto"
    return resolve_roi(chosen, clips.source_of(clip))[0]


def edit_region(session: Session, clip: Any) -> None:
    """Let a person drag the rectangle of the region; the whole picture, if there is none."""
    layer = session.find(clip, Kind.REGION)
    if layer is None or not len(layer.data):
        _, height, width = clips.size_of(clip)
        layer = show_region(session, clip, clips.info_of(clip).roi or Roi.full(height, width))
    session.viewer.layers.selection.active = layer
    layer.visible = True
    layer.mode = "select"
    layer.selected_data = {0}


def find_picture(session: Session, clip: Any, take: Callable[[Detection], None]) -> None:
    """Look for the B-mode picture in the background, and show it; `take` gets what was found."""
    from napari_deepmtj.calibration.picture import detect_picture

    source = clips.source_of(clip)

    def taken(found: Detection | None) -> None:
        if found is None:
            session.tell("No picture was found; draw a rectangle, or give numbers.")
        elif clip in session.viewer.layers:
            show_region(session, clip, found.roi)
            take(found)

    _search(session, lambda: detect_picture(source), taken, "Looking for the picture...")


def look_for_region(session: Session, clip: Any) -> None:
    """Show where tracking will look before it does so: once a clip, in the background.

    Nothing waits for it, and what a person says meanwhile stands: tracking finds the same region.
    """
    from napari_deepmtj.calibration.roi import resolve_roi

    if clip in _LOOKED or clips.is_provisional(clip) or clips.info_of(clip).roi is not None:
        return
    _LOOKED.add(clip)
    source = clips.source_of(clip)
    whole = Roi.full(source.height, source.width)

    def events() -> Iterator[Any]:
        yield Done(resolve_roi("auto", source)[0])

    def on_events(group: list[Any]) -> None:
        viewer = session.viewer
        for event in group:
            if isinstance(event, Failed) or viewer is None or clip not in viewer.layers:
                continue  # tracking will fail in the same way, and tell
            if clips.info_of(clip).roi is None and str(event.result) != str(whole):
                show_region(session, clip, event.result)

    Job(events, on_events, lambda: None, f"Find the picture of {clip.name}").start()


def take_over(session: Session, layer: Any) -> None:
    """Take over a region or a line that a person has drawn, changed or removed."""
    clip = session.clip_of(layer)
    if session.is_updating or clip is None:
        return
    if convert.kind_of(layer) is Kind.REGION:
        roi = None
        if layer in session.viewer.layers and len(layer.data):
            try:
                roi = clips.drawn_region(layer, clip)
            except CalibrationError as error:
                session.message = str(error)
        clips.remember(clip, replace(clips.info_of(clip), roi=roi))
    session.refresh()


# ----- distal side, and keeping it all --------------------------------------------------------


def set_distal_side(session: Session, clip: Any, side: DistalSide | None) -> None:
    """Say on which side of the picture the tendon runs to the foot."""
    clips.remember(clip, replace(clips.info_of(clip), distal_side=side))
    session.refresh()


def save(clip: Any) -> Path:
    """Write what is known of a clip beside its file.

    Returns
    -------
    Path
        The side-car.

    Raises
    ------
    CalibrationError
        If the clip is no file; then its layer alone knows. If the side-car that is there is
        malformed.
    """
    path = clips.source_of(clip).path
    if path is None:
        raise CalibrationError(
            f"{clip.name} is no file, so there is no place beside it: scale, region and side "
            "are kept in its layer only, as long as it is open"
        )
    known = read_sidecar(path) or ClipInfo()  # what this plugin does not show stays
    return write_sidecar(path, replace(clips.info_of(clip), colour_range=known.colour_range))


def overruled(clip: Any) -> str:
    """Return what of a saved region the file will not let count, empty if nothing."""
    own, said = clips.source_of(clip).roi, clips.info_of(clip).roi
    if own is None or said is None or own.source.startswith("side-car") or str(own) == str(said):
        return ""
    return f"When the clip is opened again, its file's own region ({own}) will be used."


def _search(
    session: Session, look: Callable[[], Any], take: Callable[[Any], None], doing: str
) -> None:
    """Run a search that may take a second in the background, as the session's job."""

    def events() -> Iterator[Any]:
        yield Done(look())

    def on_events(group: list[Any]) -> None:
        for event in group:
            if isinstance(event, Failed):
                session.tell(str(event.error))
            elif session.viewer is not None:
                take(event.result)

    job = Job(events, on_events, session.release, doing)
    session.take(job, doing)
    job.start()
