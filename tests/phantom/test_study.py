"""The cohort has the paper's numbers; its impaired-like subjects are what they are said to be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_deepmtj.core.jobs import Done
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.table import labels_path, read_labels
from napari_deepmtj.phantom import subjects
from napari_deepmtj.phantom.anatomy import layers
from napari_deepmtj.phantom.cohort import DEMO_SEED, PhantomClip
from napari_deepmtj.phantom.families import FAMILIES
from napari_deepmtj.phantom.motion import Movement
from napari_deepmtj.phantom.study import Design, Group, Part, Study, StudyClip, study, write_study
from napari_deepmtj.phantom.traits import TYPICAL, Traits
from napari_deepmtj.training.dataset import FAMILY_STEP
from napari_deepmtj.training.recipes import SceneSet, available, load_recipe
from napari_deepmtj.video.opening import VideoSource, open_video

SMALL = Design(3, 2, 2, 4, 10, 30, 4, 12, n_frames=24)


@pytest.fixture(scope="module")
def cohort() -> Study:
    return study()


def of_each(cohort: Study, group: Group, n: int, movement: Movement) -> list[StudyClip]:
    """One clip of each of `n` subjects of a group."""
    found = {c.subject: c for c in cohort.clips if c.group is group and c.movement is movement}
    return list(found.values())[:n]


def test_numbers_are_those_of_tables_1_and_2(cohort: Study) -> None:
    groups = {clip.subject: clip.group for clip in cohort.clips}
    assert Counter(groups.values()) == {Group.HEALTHY: 79, Group.IMPAIRED: 28}
    assert len(cohort.clips) == 1106
    videos = {part: len(cohort.of(part)) for part in Part}
    assert videos == {Part.TRAIN: 881, Part.VALIDATION: 98, Part.TEST: 127}
    frames = {part: sum(len(clip.frames) for clip in cohort.of(part)) for part in Part}
    assert frames == {Part.TRAIN: 7200, Part.VALIDATION: 800, Part.TEST: 1147}
    assert {clip.n_frames for clip in cohort.clips} == {375}  # 15 s at 25 Hz
    assert len({clip.name for clip in cohort.clips}) == 1106
    movements = Counter(clip.movement for clip in cohort.clips)
    assert movements[Movement.MVC] == pytest.approx(movements[Movement.PASSIVE_ROM], abs=107)


def test_test_subjects_are_of_both_groups_and_nowhere_else(cohort: Study) -> None:
    tested = {clip.subject: clip.group for clip in cohort.of("test")}
    assert Counter(tested.values()) == {Group.HEALTHY: 9, Group.IMPAIRED: 3}
    others = {clip.subject for clip in cohort.clips if clip.split != "test"}
    assert not others & set(tested)
    assert len(others) == 95


def test_frames_are_spread_over_the_video(cohort: Study) -> None:
    for clip in cohort.clips:
        assert 8 <= len(clip.frames) <= 10
        assert np.diff(clip.frames).min() >= 375 / 10 / 2
        assert clip.frames[0] < 375 / 8
        assert clip.frames[-1] >= 375 * 7 / 8


def test_everything_follows_from_the_seed(cohort: Study) -> None:
    assert study().clips == cohort.clips
    assert study(cohort.seed + 1).clips != cohort.clips
    clip = cohort.clips[-1]
    np.testing.assert_array_equal(clip.source().read(7), clip.source().read(7))


def test_no_subject_is_drawn_anywhere_else(cohort: Study) -> None:
    """torch draws a subject from its seed, and a chunk of training scenes from the chunk's."""
    own = {clip.subject_seed for clip in cohort.clips}
    assert len(own) == 107
    assert DEMO_SEED not in own
    assert not own & {subject.seed for subject in subjects(1000, 1000)}
    recipes = [load_recipe(name) for name in available()]
    sets = [s for recipe in recipes for s in vars(recipe).values() if isinstance(s, SceneSet)]
    assert len(sets) >= 2
    for what in sets:
        for number in range(len(FAMILIES)):
            first = what.seed * 1_000_003 + FAMILY_STEP * number
            assert not own & set(range(first, first + what.chunks))


def test_a_clip_is_a_video_with_the_truth_of_its_annotated_frames(cohort: Study) -> None:
    clip = cohort.of("test")[0]
    source = clip.source()
    assert isinstance(source, VideoSource)
    assert (source.name, source.n_frames, source.times.rate) == (clip.name, 375, 25.0)
    labels = clip.labels()
    assert tuple(label.frame for label in labels) == clip.frames
    assert {(label.clip, label.clip_sha256) for label in labels} == {(clip.name, source.sha256)}
    for label in labels:
        assert (label.x_px, label.y_px) == pytest.approx(source.truth[label.frame])


def test_the_junction_is_in_every_annotated_frame(cohort: Study) -> None:
    for clip in cohort.clips[::9]:
        assert np.isfinite(clip.source().truth[list(clip.frames)]).all()


def test_typical_traits_leave_a_clip_as_it_was() -> None:
    plain, typical = PhantomClip(7, 0, 9), PhantomClip(7, 0, 9, traits=TYPICAL)
    assert plain.sha256 == typical.sha256
    np.testing.assert_array_equal(plain.read(4), typical.read(4))
    others = [Traits(fat=2), Traits(reach=0.5), Traits(pace=0.5), Traits(contrast=0.5)]
    changed = [PhantomClip(7, 0, 9, traits=traits) for traits in others]
    assert len({clip.sha256 for clip in [plain, *changed]}) == 5
    for clip in changed:
        assert (clip.read(4) != plain.read(4)).any()


@pytest.mark.parametrize("movement", list(Movement))
def test_impaired_like_subjects_move_less_and_slower(cohort: Study, movement: Movement) -> None:
    ranges, speeds = {}, {}
    for group in Group:
        courses = [c.source().course.tip_mm for c in of_each(cohort, group, 28, movement)]
        ranges[group] = np.median([np.ptp(tip) for tip in courses])
        # Speed as a share of the range: slower, not only smaller.
        speeds[group] = np.median([np.abs(np.diff(tip)).max() / np.ptp(tip) for tip in courses])
    assert ranges[Group.IMPAIRED] < 0.75 * ranges[Group.HEALTHY]
    assert speeds[Group.IMPAIRED] < 0.75 * speeds[Group.HEALTHY]


def test_impaired_like_subjects_have_thicker_fat(cohort: Study) -> None:
    fat = {}
    for group in Group:
        scenes = [c.source().scene for c in of_each(cohort, group, 79, Movement.MVC)]
        fat[group] = [float(scene.fascia_mm - scene.skin_mm) for scene in scenes]
    assert np.median(fat[Group.IMPAIRED]) > 1.3 * np.median(fat[Group.HEALTHY])


def contrast(clip: PhantomClip, frame: int) -> float:
    """Contrast to noise of the aponeurosis and tendon against the muscle beside the MTJ."""
    picture = clip.read(frame).astype(float)
    if clip.distal_side == "left":
        picture = picture[:, ::-1]
    scene = clip.scene_at(range(frame, frame + 1))
    assert clip.scale is not None
    x = (torch.arange(clip.width) + 0.5)[None] * clip.scale.x_mm
    there = layers(scene, x)
    z = (np.arange(clip.height)[:, None] + 0.5) * clip.scale.y_mm
    tendon = (z > there.tendon_top.numpy()) & (z < there.tendon_bottom.numpy())
    muscle = (z > there.muscle_top.numpy() + 0.5) & (z < there.muscle_bottom.numpy() - 0.5)
    return float((picture[tendon].mean() - picture[muscle].mean()) / picture[muscle].std())


def test_impaired_like_pictures_have_poorer_contrast(cohort: Study) -> None:
    """The same subjects, drawn with and without this trait alone."""
    ratios = []
    for clip in of_each(cohort, Group.IMPAIRED, 8, Movement.PASSIVE_ROM):
        poor = Traits(contrast=clip.traits.contrast)
        drawn = [PhantomClip(clip.subject_seed, 0, 2, traits=t) for t in (TYPICAL, poor)]
        ratios.append([contrast(one, 0) for one in drawn])
    typical, poor_ones = np.array(ratios).T
    assert np.median(poor_ones / typical) < 0.85


@pytest.mark.parametrize(("subjects", "videos"), [(4, 2), (1, 1), (500, 500)])
def test_some_clips_are_of_both_groups(cohort: Study, subjects: int, videos: int) -> None:
    some = cohort.some("test", subjects, videos)
    per_subject = Counter(clip.subject for clip in some)
    assert len(per_subject) == min(subjects, 12)
    assert max(per_subject.values()) == min(videos, 11)
    if subjects > 3:
        assert {clip.group for clip in some} == set(Group)


def test_written_clips_carry_the_labels_of_their_annotated_frames(tmp_path: Path) -> None:
    wanted = study(1, SMALL).of("test")[::3]
    *_, last = write_study(wanted, tmp_path)
    assert isinstance(last, Done)
    for path, clip in zip(last.result, wanted, strict=True):
        assert path == tmp_path / clip.subject / f"{clip.name}.avi"
        with open_video(path) as source:
            assert source.n_frames == 24
            labels = read_labels(labels_path(path))
            assert {label.clip_sha256 for label in labels} == {source.sha256}
        assert tuple(label.frame for label in labels) == clip.frames
        assert labels[0].x_px == pytest.approx(clip.labels()[0].x_px)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_subjects": 5}, "5 of 5 subjects"),
        ({"test_videos": 1}, "2 test subjects need a video each"),
        ({"other_videos": 2}, "3 other subjects need a video each"),
        ({"test_frames": 200}, "200 test frames do not fit 4 videos"),
        ({"train_frames": 3}, "3 training frames do not fit 9 videos"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change: dict[str, int], said: str) -> None:
    with pytest.raises(DeepMTJError, match=said):
        study(1, replace(SMALL, **change))
