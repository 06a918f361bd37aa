from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import LabelError
from napari_deepmtj.evaluation.cases import find_cases
from napari_deepmtj.evaluation.comparison import Comparison, Evaluation
from napari_deepmtj.evaluation.methods import Network
from napari_deepmtj.evaluation.runner import CaseDone, evaluate
from napari_deepmtj.labels.subjects import ByPattern
from napari_deepmtj.labels.table import labels_path, read_labels, write_labels
from napari_deepmtj.weights.store import Model

MakeClip = Callable[..., Path]
POINTS = [(40.0 + 5 * i, 30.0 + i) for i in range(6)]


def run(paths: list[Path], model: Model) -> tuple[list[object], Evaluation]:
    events = list(evaluate(find_cases(paths), [Network(model, "cpu")], roi="full"))
    assert isinstance(events[-1], Done), events[-1]
    comparison = events[-1].result
    assert isinstance(comparison, Comparison)
    return events, comparison.evaluations[0]


def test_what_the_network_sees_is_measured_in_mm(make_clip: MakeClip, model: Model) -> None:
    folder = make_clip("s1/a.avi", POINTS).parent
    events, result = run([folder], model)
    summary = result.summary
    assert (summary.unit, summary.frames, summary.visible) == ("mm", 6, 6)
    assert summary.mean < 0.2
    assert summary.valid == 100
    assert result.ms_per_frame > 0
    assert Progress(6, 6, note="a.avi") in events
    done = next(e for e in events if isinstance(e, CaseDone))
    assert (done.done, done.total, done.case.subject, len(done.trajectory)) == (1, 1, "s1", 6)


def test_a_known_offset_is_found_as_bias(make_clip: MakeClip, model: Model) -> None:
    # Labels lie 24 px, 6 mm, to the right of the spot: bias -6 mm, and no frame within 5 mm.
    clip = make_clip("s1/a.avi", POINTS[:4], offset=24.0)
    _, result = run([clip], model)
    assert result.summary.bias_x == pytest.approx(-6, abs=0.2)
    assert result.summary.bias_y == pytest.approx(0, abs=0.2)
    assert result.summary.mean == pytest.approx(6, abs=0.2)
    assert (result.summary.within[5.0], result.summary.within[10.0]) == (0, 100)


def test_subjects_are_the_folders(make_clip: MakeClip, model: Model, tmp_path: Path) -> None:
    make_clip("s1/a.avi", POINTS)
    make_clip("s1/b.avi", POINTS[::-1])
    make_clip("s2/a.avi", [(x, y + 4) for x, y in POINTS], offset=8.0)
    _, result = run([tmp_path], model)
    assert (result.summary.subjects, result.summary.clips) == (2, 3)
    means = result.summary.subject_means
    assert means["s2"] == pytest.approx(means["s1"] + 2, abs=0.3)
    assert result.summary.mean_interval.low == pytest.approx(means["s1"])
    assert result.summary.mean_interval.high == pytest.approx(means["s2"])


def test_missed_and_invented_frames_are_counted(make_clip: MakeClip, model: Model) -> None:
    truth = [POINTS[0], POINTS[1], None, None]
    drawn = [POINTS[0], None, POINTS[2], None]
    _, result = run([make_clip("s1/a.avi", truth, seen=drawn)], model)
    summary = result.summary
    assert (summary.missed, summary.invented, summary.hidden) == (1, 1, 2)
    assert summary.valid == 50


def test_the_data_says_whether_it_was_made_up(make_clip: MakeClip, model: Model) -> None:
    for annotator, data in (("phantom", "phantom"), ("anna", "real")):
        clip = make_clip(f"{annotator}/a.avi", POINTS, annotator=annotator)
        *_, last = evaluate(find_cases([clip]), [Network(model, "cpu")], roi="full")
        assert isinstance(last, Done)
        assert last.result.data == data
        said = json.loads(json.dumps(last.result.to_json(), allow_nan=False))
        assert said["data"] == data
        assert said["model"] == {"id": "spot", "version": "1", "sha256": "cd" * 32}


def test_made_up_and_real_clips_are_never_put_together(make_clip: MakeClip, model: Model) -> None:
    clips = [make_clip("s1/a.avi", POINTS, annotator="phantom"), make_clip("s2/a.avi", POINTS[:3])]
    (event,) = evaluate(find_cases(clips), [Network(model, "cpu")])
    assert isinstance(event, Failed)
    assert "evaluate them apart" in str(event.error)


def test_notices_name_the_clip(make_clip: MakeClip, model: Model) -> None:
    clip = make_clip("s1/a.avi", POINTS)
    events = list(evaluate(find_cases([clip]), [Network(model, "cpu")]))
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert notices
    assert all(message.startswith("a.avi: ") for message in notices)


def test_a_clip_given_twice_counts_once(make_clip: MakeClip) -> None:
    clip = make_clip("s1/a.avi", POINTS)
    assert len(find_cases([clip, clip.parent, clip.parent.parent])) == 1


def test_a_copy_of_a_recording_is_refused(make_clip: MakeClip) -> None:
    clips = [make_clip("s1/a.avi", POINTS), make_clip("s2/b.avi", POINTS)]
    with pytest.raises(LabelError, match="one recording, labelled twice"):
        find_cases(clips)


def test_subjects_and_annotators_can_be_said(make_clip: MakeClip) -> None:
    clip = make_clip("visit1/S07_a.avi", POINTS)
    first = read_labels(labels_path(clip))
    again = [replace(label, annotator="bert") for label in first]
    write_labels(labels_path(clip), first + again)
    with pytest.raises(LabelError, match=r"frame 0: was labelled by anna, bert"):
        find_cases([clip])
    (case,) = find_cases([clip], ByPattern("(?P<subject>S[0-9]+)_"), annotator="bert")
    assert case.subject == "S07"
    assert {label.annotator for label in case.labels} == {"bert"}


def test_folders_of_one_name_are_several_subjects(make_clip: MakeClip) -> None:
    names = ("a/s1/x", "a/s1/y", "b/s1/x", "b/s2/x")
    clips = [make_clip(f"{name}.avi", [(20 + 10 * n, 30)]) for n, name in enumerate(names)]
    subjects = [case.subject for case in find_cases(clips)]
    assert subjects == ["a/s1", "a/s1", "b/s1", "b/s2"]
    assert [case.subject for case in find_cases(clips[1:2] + clips[3:])] == ["s1", "s2"]


def test_a_bad_clip_ends_the_job(make_clip: MakeClip, model: Model) -> None:
    good, bad = make_clip("s1/a.avi", POINTS), make_clip("s1/b.avi", POINTS[::-1])
    cases = find_cases([good, bad])
    bad.write_bytes(b"")
    events = list(evaluate(cases, [Network(model, "cpu")]))
    assert isinstance(events[-1], Failed)
    assert str(events[-1].error).startswith("b.avi: ")
    assert not any(isinstance(event, Done) for event in events)


def test_a_clip_that_changed_since_it_was_labelled_is_refused(
    make_clip: MakeClip, model: Model
) -> None:
    clip = make_clip("s1/a.avi", POINTS)
    other = make_clip("s2/a.avi", POINTS[::-1])
    cases = find_cases([clip])
    clip.write_bytes(other.read_bytes())
    with pytest.raises(LabelError, match=r"another file called a\.avi"):
        find_cases([clip])
    events = list(evaluate(cases, [Network(model, "cpu")]))
    assert isinstance(events[-1], Failed)
    assert "another file named a.avi" in str(events[-1].error)


def test_nothing_to_evaluate_is_no_result(model: Model) -> None:
    (event,) = evaluate([], [Network(model, "cpu")])
    assert isinstance(event, Failed)


def test_what_is_not_labelled_is_said(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip("s1/a.avi", POINTS)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LabelError, match=r"^empty: has no \*\.mtj-labels\.csv"):
        find_cases([empty])
    labels = read_labels(labels_path(clip))
    write_labels(labels_path(clip), [])
    with pytest.raises(LabelError, match=r"has no labels of a\.avi"):
        find_cases([clip])
    write_labels(empty / "b.mtj-labels.csv", labels)
    with pytest.raises(LabelError, match=r"its clip a\.avi is not beside it"):
        find_cases([empty])
    labels_path(clip).unlink()
    with pytest.raises(LabelError, match="no such label file"):
        find_cases([clip])
