"""Several methods on the same clips: networks, trackers, labelled frames only, single pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.evaluation.cases import Case, find_cases
from napari_deepmtj.evaluation.comparison import Comparison
from napari_deepmtj.evaluation.gallery import Pictures, gallery, worst_frames
from napari_deepmtj.evaluation.methods import Method, Network, Tracker
from napari_deepmtj.evaluation.runner import CaseDone, evaluate
from napari_deepmtj.labels.table import labels_path, read_labels, write_labels
from napari_deepmtj.report.evaluation_tables import remarks
from napari_deepmtj.tracking.flow import Step
from napari_deepmtj.video.sidecar import ClipInfo, read_sidecar, write_sidecar
from napari_deepmtj.video.stacks.stack import ArraySource
from napari_deepmtj.weights.store import Model

MakeClip = Callable[..., Path]
POINTS = [(40.0 + 5 * i, 30.0 + i) for i in range(8)]


@dataclass(frozen=True)
class Shifts:
    """Follows by a fixed shift a frame, and loses the place where it leaves x below `until`."""

    x: float
    until: float = 1e9

    def step(self, before, after, xy, mm) -> Step:
        lost = xy[0] + self.x > self.until
        return Step(np.array([self.x, 0.0]), np.zeros(2), 0.0 if lost else 1.0)


def run(cases: list[Case], methods: list[Method], **options: object) -> Comparison:
    *events, last = evaluate(cases, methods, roi="full", **options)
    assert isinstance(last, Done), last
    assert sum(isinstance(event, CaseDone) for event in events) == len(cases) * len(methods)
    return last.result


@pytest.fixture
def flow() -> None:
    pytest.importorskip("cv2", reason="following tissue needs OpenCV (extra flow)")


@pytest.mark.usefixtures("flow")
def test_a_tracker_starts_from_the_first_visible_label(make_clip: MakeClip) -> None:
    # Hidden in the first two frames; the spot goes 5 px right and 1 down a frame, the tracker 4.
    clip = make_clip("s1/a.avi", [None, None, *POINTS])
    found = run(find_cases([clip]), [Tracker("steps", Shifts(4.0))]).evaluations[0]
    errors = found.errors
    assert errors["given"].tolist() == [False, False, True] + [False] * 7
    assert errors["in_view"].tolist() == [False, False] + [True] * 8
    np.testing.assert_allclose(errors["dx_px"][2:], -np.arange(8.0), atol=1e-9)
    np.testing.assert_allclose(errors["dy_px"][2:], -np.arange(8.0), atol=1e-9)
    s = found.summary
    assert (s.frames, s.visible, s.hidden, s.missed, s.invented) == (9, 7, 2, 0, 0)
    assert s.mean == pytest.approx(np.hypot(4, 4) * 0.25)
    assert errors["confidence"].isna().all()
    assert (found.kind, found.frames, found.device) == ("tracker", 8, "cpu")


@pytest.mark.usefixtures("flow")
def test_a_place_that_is_lost_is_missed_from_then_on(make_clip: MakeClip) -> None:
    clip = make_clip("s1/a.avi", POINTS)
    found = run(find_cases([clip]), [Tracker("steps", Shifts(5.0, until=52))]).evaluations[0]
    assert found.errors["in_view"].tolist() == [True] * 3 + [False] * 5
    assert (found.summary.visible, found.summary.missed) == (7, 5)
    assert found.frames == 4  # those it had, and the one it was lost in


@pytest.mark.usefixtures("flow")
def test_nothing_to_start_from_is_told_and_is_no_position(make_clip: MakeClip) -> None:
    clip = make_clip("s1/a.avi", [None, None, None])
    events = list(evaluate(find_cases([clip]), [Tracker("steps", Shifts(1.0))], roi="full"))
    assert Notice("a.avi: no label is visible, so no tracker can be started") in events
    summary = events[-1].result.evaluations[0].summary
    assert (summary.hidden, summary.invented, summary.missed) == (3, 0, 0)


@pytest.mark.usefixtures("flow")
def test_lucas_kanade_and_a_network_find_the_same_spot(make_clip: MakeClip, model: Model) -> None:
    from napari_deepmtj.tracking.flow import LucasKanade

    slow = [(60.0 + i, 30.0) for i in range(8)]
    methods = [Network(model, "cpu"), Tracker("lucas-kanade", LucasKanade())]
    result = run(find_cases([make_clip("s1/a.avi", slow)]), methods)
    network, tracker = result.evaluations
    assert network.summary.mean < 0.2
    assert tracker.summary.mean < 0.2
    assert (network.summary.frames, tracker.summary.frames) == (8, 7)
    (difference,) = result.paired()
    assert (difference.frames, difference.first, difference.second) == (7, "spot", "lucas-kanade")
    assert all(one.seconds_per_200 > 0 for one in result.evaluations)


def test_only_labelled_frames_are_looked_at_and_found_alike(
    make_clip: MakeClip, model: Model
) -> None:
    clip = make_clip("s1/a.avi", POINTS)
    labels = read_labels(labels_path(clip))
    write_labels(labels_path(clip), [labels[i] for i in (0, 3, 4, 6)])
    cases = find_cases([clip])
    every, some = (
        run(cases, [Network(model, "cpu")], labelled_only=only).evaluations[0]
        for only in (False, True)
    )
    assert (every.frames, some.frames) == (8, 4)
    assert some.errors["frame"].tolist() == [0, 3, 4, 6]
    np.testing.assert_allclose(some.errors["x_px"], every.errors["x_px"], atol=1e-5)
    assert some.summary.mean == pytest.approx(every.summary.mean, abs=1e-5)


def test_the_side_car_says_which_way_is_proximal(make_clip: MakeClip, model: Model) -> None:
    clip = make_clip("s1/a.avi", POINTS, offset=4.0)
    info = read_sidecar(clip)
    write_sidecar(clip, ClipInfo(info.scale, None, "right"))
    s = run(find_cases([clip]), [Network(model, "cpu")]).evaluations[0].summary
    # 1 mm to the left of the labels, which is proximal; the labels' line falls by 1 in 5.
    assert s.along.mean == pytest.approx(5 / np.hypot(5, 1), abs=0.1)
    assert s.across.mean == pytest.approx(1 / np.hypot(5, 1), abs=0.1)


def picture_case(number: int, subject: str, group: str) -> Case:
    """A single picture with a spot, opened from memory."""
    x, y = 30.0 + 7 * number, 30.0
    rows, columns = np.mgrid[:64, :128]
    spot = (250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 32)).astype(np.uint8)
    name = f"still_{number}"

    def opened() -> ArraySource:
        return ArraySource(
            spot[None],
            name,
            times=FrameTimes.unknown(1),
            scale=Scale.isotropic(0.25, "test"),
            roi=Roi.full(64, 128),
        )

    with opened() as source:
        sha256 = source.sha256
    label = Label(clip=name, clip_sha256=sha256, frame=0, x_px=x, y_px=y, annotator="anna")
    return Case(name, (label,), subject, opened, None, group)


def test_single_pictures_are_clips_of_one_frame(model: Model) -> None:
    cases = [picture_case(i, f"s{i % 3}", "ab"[i % 3 == 0]) for i in range(6)]
    result = run(cases, [Network(model, "cpu"), Network(model, "cpu", label="again")])
    s = result.evaluations[0].summary
    assert (s.subjects, s.clips, s.frames) == (3, 6, 6)
    assert s.mean < 0.2
    assert [(one.subject, one.group) for one in s.per_subject] == [
        ("s0", "b"),
        ("s1", "a"),
        ("s2", "a"),
    ]
    assert result.paired()[0].mean == 0


def test_methods_of_one_name_are_refused(make_clip: MakeClip, model: Model) -> None:
    cases = find_cases([make_clip("s1/a.avi", POINTS)])
    (event,) = evaluate(cases, [Network(model), Network(model)])
    assert isinstance(event, Failed)
    assert "methods need names that differ, not spot, spot" in str(event.error)


def test_a_model_that_learned_from_a_clip_is_not_tested_on_it(
    make_clip: MakeClip, model: Model
) -> None:
    cases = find_cases([make_clip("s1/a.avi", POINTS), make_clip("s2/a.avi", POINTS[::-1])])
    seen = {"validation": {"recordings": [cases[1].labels[0].clip_sha256[:16]]}}
    trained = Model(replace(model.card, id="own", made_with={"split": seen}), model.network)
    result = run(cases, [Network(model, "cpu"), Network(trained, "cpu")])
    assert [one.known for one in result.evaluations] == [0, 1]
    (told,) = [text for text in remarks(result) if "no test" in text]
    assert told.startswith("own learned from 1 of these 2 clips")


def test_a_clip_given_twice_is_refused(model: Model) -> None:
    case = picture_case(0, "s1", "")
    *_, last = evaluate([case, case], [Network(model, "cpu")])
    assert isinstance(last, Failed)
    assert str(last.error) == "still_0: the same clip is there twice for s1; give it once"


def drawn(result: Comparison, cases: list[Case], networks: list[Network], most: int) -> Pictures:
    *_, last = gallery(result, cases, networks, most)
    assert isinstance(last, Done), last
    return last.result


def test_the_gallery_shows_the_frames_that_went_wrong(make_clip: MakeClip, model: Model) -> None:
    # Frame 3 is drawn far from its label, in 5 nothing is drawn, in 6 something that is not there.
    truth = [*POINTS[:6], None, POINTS[7]]
    seen = [*POINTS[:3], (100.0, 50.0), POINTS[4], None, POINTS[6], POINTS[7]]
    cases = find_cases([make_clip("s1/a.avi", truth, seen=seen)])
    network = Network(model, "cpu")
    result = run(cases, [network])
    assert [(why, frame) for why, _, frame in worst_frames(result.evaluations[0], 3)] == [
        ("far", 3),
        ("far", int(result.evaluations[0].errors["error_mm"].drop(3).idxmax())),
        ("missed", 5),
    ]
    pictures = drawn(result, cases, [network], 6)
    whys = [each.why for each in pictures.worst["spot"]]
    assert whys == ["far"] * 4 + ["missed", "invented"]
    worst = pictures.worst["spot"][0].picture
    assert worst.marks.frame == 3
    assert worst.marks.label == POINTS[3]
    assert worst.marks.points["spot"] == pytest.approx((100, 50), abs=1)
    assert worst.grey.shape == (64, 128)
    assert np.unravel_index(worst.grey.argmax(), worst.grey.shape) == (50, 100)
    assert worst.time_s == pytest.approx(3 / 25)
    assert worst.attention is None  # the spot's network has no maps
    assert len(pictures.examples) == 3


def test_a_gallery_takes_every_clip_in_its_turn(model: Model) -> None:
    cases = [picture_case(i, f"s{i}", "") for i in range(6)]
    result = run(cases, [Network(model, "cpu")])
    chosen = worst_frames(result.evaluations[0], 6)
    assert len({key for _, key, _ in chosen}) == 6


def test_neighbours_are_shown_once(make_clip: MakeClip, model: Model) -> None:
    points = [(30.0 + 2 * i, 30.0) for i in range(40)]
    cases = find_cases([make_clip("s1/a.avi", points, offset=3.0)])
    chosen = worst_frames(run(cases, [Network(model, "cpu")]).evaluations[0], 20)
    frames = sorted(frame for _, _, frame in chosen)
    assert min(np.diff(frames)) >= 0.1 * 39
    assert len(frames) > 4


def test_a_clip_that_is_gone_ends_the_gallery(make_clip: MakeClip, model: Model) -> None:
    clip = make_clip("s1/a.avi", POINTS)
    cases = find_cases([clip])
    network = Network(model, "cpu")
    result = run(cases, [network])
    *_, last = gallery(result, [], [network], 2)
    assert isinstance(last, Failed)
    assert "a.avi: is not among the clips" in str(last.error)
    clip.unlink()
    *_, last = gallery(result, cases, [network], 2)
    assert isinstance(last, Failed)


def test_attention_lies_over_the_frame(make_clip: MakeClip, model: Model) -> None:
    class Looks(type(model.network)):  # type: ignore[misc]
        def forward(self, x):
            output = super().forward(x)
            fine = output.heatmap.flatten(1).softmax(1).reshape(output.heatmap.shape)
            coarse = fine[:, ::2, ::2] + fine[:, 1::2, 1::2]
            return type(output)(output.heatmap, None, output.presence, (coarse, fine))

    looking = Network(Model(replace(model.card, network="compact"), Looks().eval()), "cpu")
    cases = find_cases([make_clip("s1/a.avi", POINTS)])
    pictures = drawn(run(cases, [looking]), cases, [looking], 1)
    (worst,) = pictures.worst["spot"]
    attention = worst.picture.attention
    assert attention is not None
    row, column = np.unravel_index(attention.values.argmax(), attention.values.shape)
    x = attention.origin[1] + column * attention.step[1]
    y = attention.origin[0] + row * attention.step[0]
    label = worst.picture.marks.label
    assert label is not None
    assert np.hypot(x - label[0], y - label[1]) < 3
