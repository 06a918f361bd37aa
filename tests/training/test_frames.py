"""Labelled frames are cut as inference sees them, once, and found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_deepmtj.calibration.roi import resolve_roi
from napari_deepmtj.core.geometry import PixelMap, Roi
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import VideoError
from napari_deepmtj.inference.preprocess import to_network_input
from napari_deepmtj.labels.labelled import find_labelled
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.phantom.study import Design, study
from napari_deepmtj.training import frames as frames_module
from napari_deepmtj.training.batches import FrameSet
from napari_deepmtj.training.cohort import study_split
from napari_deepmtj.training.frames import FrameStore, cut, stored_size
from napari_deepmtj.training.settings import Network
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.video.writer import VideoWriter

Write = Callable[..., Path]
SIZE = (64, 128)
#: Width in px of the region of the test clips.
REGION = 100


def made_store(job: Any) -> FrameStore:
    *_, last = job
    assert isinstance(last, Done), last
    return last.result


def test_pictures_and_positions_are_those_of_inference(
    write_labelled: Write, tmp_path: Path
) -> None:
    write_labelled("s01/a.npy", 1)
    write_labelled("s02/b.npy", 2, scale=None)
    clips = find_labelled([tmp_path])
    store = made_store(cut(clips, tmp_path / "cuts", size=SIZE))
    assert len(store) == 8
    for row, entry in store.table.iterrows():
        clip = clips[0 if entry.subject == "s01" else 1]
        with clip.open() as source:
            roi, _ = resolve_roi("auto", source)
            pixel_map = PixelMap.fit(roi, *SIZE, source.scale)
            seen = to_network_input(source.read(entry.frame)[roi.slices], pixel_map)
        label = clip.labels[entry.frame]
        np.testing.assert_array_equal(store.pictures([row])[0], seen)
        expected = pixel_map.to_network([label.x_px, label.y_px])
        np.testing.assert_allclose(store.xy[row], expected)
        # The spot that is labelled is there: a flip or a swapped axis would not pass.
        y, x = np.unravel_index(np.argmax(seen), seen.shape)
        np.testing.assert_allclose([x, y], expected, atol=1.6)
    # 100 x 40 px of the region on 128 x 51, half a millimetre each.
    np.testing.assert_allclose(store.mm_per_px[:4], [[50 / 128, 20 / 51]] * 4)
    assert np.isnan(store.mm_per_px[4:]).all()
    assert store.content[0].tolist() == [6, 0, 51, 128]
    assert store.where(["s02"]).tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("size", [(64, 128), (64, 64), (32, 96)])
def test_a_picture_fills_the_input_as_when_it_is_tracked(
    write_labelled: Write, tmp_path: Path, size: tuple[int, int]
) -> None:
    write_labelled("s01/a.npy", 1)
    (clip,) = find_labelled([tmp_path])
    store = made_store(cut([clip], tmp_path / "cuts", size=stored_size(*size)))
    batch = FrameSet(store, np.arange(4), Network("vgg16", *size)).plain(np.arange(4))
    with clip.open() as source:
        roi, _ = resolve_roi("auto", source)
        pixel_map = PixelMap.fit(roi, *size, source.scale)
    tracked = pixel_map.to_network([(label.x_px, label.y_px) for label in clip.labels])
    np.testing.assert_allclose(batch.xy, tracked, atol=0.5)


def test_what_is_there_is_not_cut_again_and_labels_may_move(
    write_labelled: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labelled("s01/a.npy", 1)
    (clip,) = find_labelled([tmp_path])
    first = made_store(cut([clip], tmp_path / "cuts", size=SIZE))
    monkeypatch.setattr(frames_module, "to_network_input", None)  # not to be called
    moved = replace(
        clip, labels=tuple(replace(label, x_px=label.x_px + 1) for label in clip.labels)
    )
    second = made_store(cut([moved], tmp_path / "cuts", size=SIZE))
    np.testing.assert_allclose(second.xy[:, 0] - first.xy[:, 0], SIZE[1] / REGION)
    assert first.fingerprint != second.fingerprint
    np.testing.assert_array_equal(first.pictures(range(4)), second.pictures(range(4)))


def test_a_cut_that_was_torn_is_made_again(write_labelled: Write, tmp_path: Path) -> None:
    write_labelled("s01/a.npy", 1)
    clips = find_labelled([tmp_path])
    whole = made_store(cut(clips, tmp_path / "cuts", size=SIZE)).pictures(range(4))
    (file,) = (tmp_path / "cuts").glob("*.npy")
    file.write_bytes(file.read_bytes()[:-1])
    again = made_store(cut(clips, tmp_path / "cuts", size=SIZE))
    np.testing.assert_array_equal(again.pictures(range(4)), whole)
    file.write_bytes(b"")
    with pytest.raises(VideoError, match="cut anew"):
        again.pictures([0])


def test_not_visible_has_no_position(write_labelled: Write, tmp_path: Path) -> None:
    write_labelled("s01/a.npy", 1)
    (clip,) = find_labelled([tmp_path])
    hidden = replace(clip.labels[2], x_px=None, y_px=None)
    store = made_store(
        cut([replace(clip, labels=(*clip.labels[:2], hidden))], tmp_path / "cuts", size=SIZE)
    )
    assert store.visible.tolist() == [True, True, False]
    assert np.isnan(store.xy[2]).all()


def test_a_clip_that_changed_is_refused(write_labelled: Write, tmp_path: Path) -> None:
    path = write_labelled("s01/a.npy", 1)
    clips = find_labelled([path])
    path.write_bytes(write_labelled("s02/b.npy", 2).read_bytes())
    *_, last = cut(clips, tmp_path / "cuts", size=SIZE)
    assert isinstance(last, Failed)
    assert "a.npy: was changed since it was labelled" in str(last.error)


def test_what_must_be_told_is_told_once_with_its_clips(
    write_labelled: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        write_labelled(f"s01/{seed}.npy", seed)
    whole = Roi.full(60, 140)
    monkeypatch.setattr(frames_module, "resolve_roi", lambda *_: (whole, ("all of it",)))
    events = list(cut(find_labelled([tmp_path]), tmp_path / "cuts", size=SIZE))
    assert [type(e) for e in events] == [Progress, Progress, Notice, Done]
    assert events[2].message == "1.npy and 1 more: all of it"


def test_another_reading_of_the_grey_levels_is_cut_anew(tmp_path: Path) -> None:
    path = tmp_path / "s01" / "a.avi"
    path.parent.mkdir()
    with VideoWriter(path, 60, 140, 25) as writer:
        writer.add(np.tile(np.linspace(20, 230, 140).astype(np.uint8), (60, 1)))
    with open_video(path) as source:
        label = Label(
            clip=path.name, clip_sha256=source.sha256, frame=0, x_px=70, y_px=30, annotator="A"
        )
    write_labels(labels_path(path), [label])
    seen = []
    for said in ("full", "limited", "full"):
        write_sidecar(path, ClipInfo(roi=Roi(20, 10, 100, 40), colour_range=said))
        seen.append(made_store(cut(find_labelled([path]), tmp_path / "cuts", size=SIZE)))
    full, limited, again = (store.pictures([0])[0].astype(int) for store in seen)
    assert abs(full - limited).max() > 5
    np.testing.assert_array_equal(full, again)
    assert seen[0].fingerprint == seen[2].fingerprint != seen[1].fingerprint


def test_made_up_clips_go_the_same_way_with_several_processes(tmp_path: Path) -> None:
    design = Design(
        healthy=2, impaired=2, test_subjects=2, test_videos=2, other_videos=3,
        train_frames=2, validation_frames=1, test_frames=2, validation=0.34, n_frames=4,
    )  # fmt: skip
    *_, done = study_split(study(seed=3, design=design))
    split = done.result
    assert [len(side) for side in split.sides.values()] == [2, 1, 2]
    clips = [clip for side in split.sides.values() for clip in side]
    store = made_store(cut(clips, tmp_path / "two", size=SIZE, workers=2))
    alone = made_store(cut(clips, tmp_path / "one", size=SIZE))
    assert store.fingerprint == alone.fingerprint
    np.testing.assert_array_equal(store.pictures(range(5)), alone.pictures(range(5)))
    assert store.pictures(range(5)).std() > 10
