"""Images of others that are already open: every shape and kind of array becomes a clip."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image, Layer

from napari_deepmtj._napari.layers import convert, drawings
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import widget as track_module
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.settings import Settings
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.video.stacks.stack import ArraySource

HEIGHT, WIDTH = 56, 112


def grey(n=4):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (n, HEIGHT, WIDTH), np.uint8)


def dask_stack():
    return da.from_array(grey(), chunks=(1, HEIGHT, WIDTH))


def zarr_stack():
    store = zarr.create_array({}, shape=(4, HEIGHT, WIDTH), dtype="uint8", chunks=(1, 56, 112))
    store[:] = grey()
    return store


COLOUR = np.repeat(grey()[..., None], 3, axis=-1)

#: Name -> array, arguments of its layer, (frames, axes of its layer), and what it is in grey.
CASES = {
    "numpy (T, Y, X)": (grey, {"rgb": False}, (4, 3)),
    "dask (T, Y, X)": (dask_stack, {"rgb": False}, (4, 3)),
    "zarr (T, Y, X)": (zarr_stack, {"rgb": False}, (4, 3)),
    "rgb (T, Y, X, 3)": (lambda: COLOUR, {"rgb": True}, (4, 3)),
    "not rgb (T, Y, X, 3)": (lambda: COLOUR, {"rgb": False}, (4, 3)),
    "(T, C, Y, X)": (lambda: np.moveaxis(COLOUR, -1, 1), {"rgb": False}, (4, 4)),
    "(T, 1, Y, X)": (lambda: grey()[:, None], {"rgb": False}, (4, 4)),
    "picture (Y, X)": (lambda: grey()[0], {"rgb": False}, (1, 2)),
    "rgb picture (Y, X, 3)": (lambda: COLOUR[0], {"rgb": True}, (1, 2)),
    "pyramid": (lambda: [grey(), grey()[:, ::2, ::2]], {"rgb": False, "multiscale": True}, (4, 3)),
}


@pytest.fixture(params=list(CASES))
def case(request, viewer, session):
    """A layer of one kind, in millimetres and, where it has frames, in seconds."""
    make, arguments, (n, ndim) = CASES[request.param]
    array = make()
    axes = (array[0] if isinstance(array, list) else array).ndim
    axes -= arguments["rgb"]
    world = {
        "scale": (0.02, *(7.0,) * (axes - 3), 0.3, 0.2)[-axes:],
        "translate": (1.0, *(2.0,) * (axes - 3), 3.0, 5.0)[-axes:],
        "units": ("s", *("pixel",) * (axes - 3), "mm", "mm")[-axes:],
    }
    if request.param.startswith("not rgb"):  # its axes are t, y, x, colour
        world["scale"], world["translate"] = (0.02, 0.3, 0.2, 1.0), (1.0, 3.0, 5.0, 0.0)
        world["units"] = ("s", "mm", "mm", "pixel")
    layer = viewer.add_layer(Image(array, name="open", **arguments, **world))
    assert clips.can_be_clip(layer)
    assert clips.size_of(layer) == (n, HEIGHT, WIDTH)
    return layer, n, ndim


def corners_in_world(layer, n):
    """World (y, x) of the picture's corners: the core's pixels through napari's own transform."""
    between = (0,) * (layer.ndim - 3)
    return [
        layer.data_to_world((*((n - 1, *between) if layer.ndim > 2 else ()), y, x))[-2:]
        for y, x in ((0, 0), (HEIGHT - 1, WIDTH - 1))
    ]


def test_the_source_behind_it_is_the_picture(case, session):
    layer, n, ndim = case
    clip = session.adopt(layer)
    assert clip.ndim == ndim
    assert session.viewer.layers[0] is clip
    assert len(session.viewer.layers) == 1
    source = clips.source_of(clip)
    assert (source.n_frames, source.height, source.width) == (n, HEIGHT, WIDTH)
    np.testing.assert_array_equal(source.read(n - 1), grey()[n - 1])
    assert source.scale == Scale(0.2, 0.3, "napari layer")
    if n > 1:
        np.testing.assert_allclose(source.times.seconds, 1 + 0.02 * np.arange(n))
    assert clips.source_of(clip) is source
    assert session.adopt(clip) is clip


def test_results_lie_exactly_on_it_in_every_channel(case, session, make_trajectory):
    layer, n, ndim = case
    clip = session.adopt(layer)
    session.activate(clip)
    placement, key = Placement.of_layer(clip), clips.id_of(clip)
    trajectory = make_trajectory(n_frames=n, scale=clips.info_of(clip).scale)
    points = session.add(clip, convert.layer_of_trajectory(trajectory, placement, key))
    region = session.add(clip, drawings.layer_of_roi(Roi(3, 2, 20, 10), "c", placement, key))
    wanted = corners_in_world(clip, n)
    for made in (points, region):
        between = (0,) * (made.ndim - 2)
        found = [
            made.data_to_world((*between, y, x))[-2:] for y, x in ((0, 0), (HEIGHT - 1, WIDTH - 1))
        ]
        np.testing.assert_allclose(found, wanted)
    dims = session.viewer.dims
    for frame in range(n):
        session.go_to(frame)
        for channel in range(clip.data.shape[1] if ndim == 4 else 1):
            if ndim == 4:
                dims.set_current_step(1, channel)
            assert session.frame() == frame
            shown = points.data[points._view_indices]
            assert shown[:, 0].tolist() == ([] if frame == 3 else [frame])  # 3 is not in view
    points.add([*(0,) * (points.ndim - 2), 7.0, 9.0])  # a person clicks
    assert convert.trajectory_of(points).xy_px[0].tolist() == [9, 7]


@pytest.mark.gui
def test_it_is_tracked_through_the_widget(case, session, tiny_model, in_a_loop, monkeypatch, qapp):
    layer, n, ndim = case
    monkeypatch.setattr(track_module, "read_settings", lambda: Settings(tiny_model, "cpu"))
    widget = track_module.TrackWidget(session.viewer)
    assert widget.clip.value is layer
    widget.path.value = True
    widget.run.changed.emit(True)
    assert session.message.count("\n") == 0
    clip = session.active
    points = session.find(clip, Kind.TRAJECTORY)
    found = convert.trajectory_of(points)
    assert len(found) == n
    assert points.data.shape == (n, max(3, ndim))
    np.testing.assert_allclose(found.table["x_mm"], found.table["x_px"] * 0.2)
    attention = session.find(clip, Kind.ATTENTION)
    assert attention.data.shape[0] == n
    assert (attention.data.reshape(n, -1).max(axis=1) > 0).all()
    attention.visible = True  # off until asked for
    session.go_to(n - 1)
    assert np.asarray(attention._slice.image.raw).max() > 0
    path = session.find(clip, Kind.PATH)
    np.testing.assert_array_equal(path.data[:, -2:], points.data[:, -2:])


@pytest.mark.parametrize(
    "layer",
    [
        Image(np.zeros((4, 2, 56, 112), np.uint8), rgb=False),
        Image(np.zeros((4, 1, 1, 56, 112), np.uint8), rgb=False),  # no Tracks layer has 5 axes
        Image(np.zeros((4, 56, 112), np.uint8), rgb=False, shear=[0.1, 0, 0]),
        Image(np.zeros((4, 56, 112), np.uint8), rgb=False, scale=(1, 1, -1)),
        Image(np.zeros((4, 56, 112), np.uint8), rgb=False, affine=np.diag([1, 2, 2, 1])),
        Layer.create(np.zeros((4, 56, 112), int), {}, "labels"),
    ],
    ids=["two channels", "five axes", "sheared", "mirrored", "placed twice", "labels"],
)
def test_what_is_no_clip_is_not_offered(layer):
    assert not clips.can_be_clip(layer)


def test_a_result_that_was_read_gets_the_axes_of_its_clip(viewer, session, make_trajectory):
    sha256 = ArraySource(grey()[:, None], name="open").sha256
    trajectory = make_trajectory(n_frames=4, clip="open", sha256=sha256)
    read = convert.layer_of_trajectory(trajectory, Placement.of_trajectory(trajectory), "")
    viewer.add_layer(Layer.create(*read))
    session.adopt(viewer.add_image(grey()[:, None], rgb=False, name="open"))
    (points,) = [la for la in viewer.layers if convert.kind_of(la) is Kind.TRAJECTORY]
    assert points.ndim == 4
    assert session.clip_of(points) is session.clips()[0]
    assert convert.trajectory_of(points) is trajectory
