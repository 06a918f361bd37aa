import numpy as np
import pytest

from napari_deepmtj.annotation.selection import (
    LONGEST_RANGE,
    STRATEGIES,
    ByHand,
    Evenly,
    Every,
    LowestConfidence,
    MostDiverse,
    Random,
    from_json,
    to_json,
)
from napari_deepmtj.annotation.thumbnails import most_different, thumbnail, thumbnails
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import LabelError


def choose(strategy, source, candidates=None, prediction=None):
    frames = np.arange(source.n_frames) if candidates is None else np.array(candidates)
    chosen = strategy.choose(frames, source, prediction)
    assert all(type(frame) is int for frame in chosen)
    return chosen


def test_evenly_takes_the_middles_of_equal_parts(make_source):
    source = make_source(n_frames=40)
    assert choose(Evenly(), source) == [2, 6, 10, 14, 18, 22, 26, 30, 34, 38]
    assert choose(Evenly(3), source, [5, 6, 7, 20, 21, 22]) == [6, 20, 22]
    assert choose(Evenly(10), source, [5, 9]) == [5, 9]


def test_every_nth_begins_with_the_first(make_source):
    assert choose(Every(15), make_source()) == [0, 15, 30]
    assert choose(Every(2), make_source(), [3, 5, 8]) == [3, 8]


def test_random_frames_depend_on_seed_and_clip_only(make_source):
    a, b = make_source("a.avi"), make_source("b.avi")
    first = choose(Random(8, seed=1), a)
    assert first == choose(Random(8, seed=1), make_source("a.avi"))
    assert first == sorted(set(first))
    assert len(first) == 8
    assert first != choose(Random(8, seed=2), a)
    assert first != choose(Random(8, seed=1), b)
    assert choose(Random(100), a) == list(range(40))


def test_the_least_sure_come_first(make_source, predict):
    source = make_source()
    sure = np.linspace(0.9, 0.1, 40)
    sure[7] = np.nan
    prediction = predict(source, sure)
    assert choose(LowestConfidence(4), source, prediction=prediction) == [7, 39, 38, 37]
    corrected = prediction.corrected(39, (1.0, 2.0))
    assert choose(LowestConfidence(2), source, prediction=corrected) == [7, 38]
    assert choose(LowestConfidence(2), source, [1, 2, 3], prediction) == [3, 2]
    with pytest.raises(LabelError, match=r"a\.avi: there is no prediction"):
        choose(LowestConfidence(), source)


def test_the_most_diverse_frames_show_every_scene(make_source):
    source = make_source(n_frames=400)
    chosen = choose(MostDiverse(4, seed=3), source)
    assert [frame * 4 // 400 for frame in chosen] == [0, 1, 2, 3]
    assert chosen == choose(MostDiverse(4, seed=3), make_source(n_frames=400))
    assert choose(MostDiverse(4), source, [8, 9]) == [8, 9]


def test_equal_frames_are_chosen_once():
    features = np.array([[0.0, 1.0]] * 5 + [[9.0, 9.0]] * 5)
    assert most_different(features, 4, seed=0) == [0, 5]


def test_lost_clusters_are_filled_with_what_is_farthest():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 1e-9, (50, 3)), [[5, 5, 5], [9, 0, 0]]])
    for seed in range(10):
        chosen = most_different(features, 6, seed)
        assert len(set(chosen)) == 6
        assert {50, 51} <= set(chosen)


def test_a_thumbnail_averages_areas_and_forgets_brightness():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 100, (48, 96)).astype(np.uint8)
    areas = picture.reshape(16, 3, 32, 3).mean(axis=(1, 3)).ravel()
    expected = (areas - areas.mean()) / areas.std()
    np.testing.assert_allclose(thumbnail(picture), expected, atol=1e-12)
    np.testing.assert_allclose(thumbnail(2 * picture + np.uint8(9)), expected, atol=1e-12)
    inside = np.zeros((60, 120), np.uint8)
    inside[7:55, 5:101] = picture
    np.testing.assert_allclose(thumbnail(inside, Roi(5, 7, 96, 48)), expected, atol=1e-12)


def test_a_thumbnail_of_little_or_nothing_has_the_same_shape():
    assert not thumbnail(np.full((50, 70), 7, np.uint8)).any()
    tiny = thumbnail(np.arange(12, dtype=np.uint8).reshape(3, 4)).reshape(16, 32)
    assert len(np.unique(tiny)) == 12
    assert tiny[0, 0] == tiny.min()
    assert tiny[-1, -1] == tiny.max()


def test_thumbnails_are_of_the_frames_asked_for(make_source):
    source = make_source()
    found = thumbnails(source, [30, 2])
    assert found.shape == (2, 512)
    np.testing.assert_array_equal(found[1], thumbnail(source.read(2)))


def test_a_list_by_hand_is_read_as_people_write_it(make_source):
    assert ByHand.parse("3, 10-12;40\n 3").frames == (3, 10, 11, 12, 40)
    assert choose(ByHand.parse("30, 5"), make_source()) == [30, 5]
    assert choose(ByHand.parse("30, 5"), make_source(), [5, 6]) == [5]
    with pytest.raises(LabelError, match=r"frame 40: there is no such frame; the clip has 40"):
        choose(ByHand((3, 40)), make_source())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no frames are listed"),
        ("3, x", "'x' is no frame"),
        ("-3", "'-3' is no frame"),
        ("1.5", "'1.5' is no frame"),
        ("9-3", "'9-3' is no range"),
        (f"0-{LONGEST_RANGE}", "is no range"),
    ],
)
def test_a_list_that_is_none_is_refused(text, complaint):
    with pytest.raises(LabelError, match=complaint):
        ByHand.parse(text)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_survives_being_stored(name):
    made = STRATEGIES[name]((4, 2)) if name == "by hand" else STRATEGIES[name](4)
    stored = to_json(made)
    assert stored["name"] == name
    stored = {k: list(v) if isinstance(v, tuple) else v for k, v in stored.items()}
    assert from_json(stored) == made


@pytest.mark.parametrize("data", [{}, {"name": "best"}, {"name": "every", "m": 3}])
def test_an_unknown_strategy_is_refused(data):
    with pytest.raises(LabelError, match="no way to choose frames"):
        from_json(data)


@pytest.mark.parametrize("kind", [Evenly, Every, Random, LowestConfidence, MostDiverse])
def test_no_frames_cannot_be_asked_for(kind):
    with pytest.raises(LabelError, match="choose 1 or more"):
        kind(0)
