import numpy as np
import pytest

from napari_deepmtj.annotation.informativeness import next_most_useful, usefulness
from napari_deepmtj.annotation.thumbnails import thumbnail
from napari_deepmtj.core.jobs import Progress
from napari_deepmtj.errors import LabelError


def test_the_rule_is_doubt_times_distance():
    features = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 6.0]])
    labelled = np.array([[0.0, 0.0], [0.0, 5.0]])
    found = usefulness([0.2, 0.9, np.nan], features, labelled)
    np.testing.assert_allclose(found, [0.0, 0.1 * np.hypot(3, 1), 1.0])
    np.testing.assert_allclose(usefulness([0.2, 0.9], features[:2], None), [0.8, 0.1])


@pytest.fixture
def predicted(begin, make_source, predict):
    """One clip of four scenes; the model is least sure of frame 33."""
    source = make_source()
    session = begin(sources=[source])
    session.predict(predict(source, np.where(np.arange(40) == 33, 0.1, 0.6)))
    return session


def run(session, looks):
    *events, done = next_most_useful(session, looks)
    assert all(isinstance(event, Progress) for event in events)
    return done.result, len(events)


def test_the_least_sure_frame_comes_first_then_another_scene(predicted):
    looks = {}
    item, read = run(predicted, looks)
    assert item.frame == 33
    assert read == len(looks) == 40
    predicted.place.go_to(item)
    predicted.click(1, 1)
    item, read = run(predicted, looks)
    assert read == 0  # all thumbnails are known
    assert item.frame < 30  # the scene of frame 33 is labelled
    scenes = {3, item.frame // 10}
    for _ in range(2):
        predicted.place.go_to(item)
        predicted.click(1, 1)
        item, _ = run(predicted, looks)
        scenes.add(item.frame // 10)
    assert scenes == {0, 1, 2, 3}


def test_thumbnails_are_those_of_the_frames(predicted):
    looks = {}
    run(predicted, looks)
    (source,) = predicted.clips.values()
    np.testing.assert_array_equal(looks[source.sha256, 7], thumbnail(source.read(7)))


def test_without_a_prediction_there_is_no_most_useful_frame(begin, predicted):
    with pytest.raises(LabelError, match="no predicted frame is left"):
        next_most_useful(begin("bea"), {})
