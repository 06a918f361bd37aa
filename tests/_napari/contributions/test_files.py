from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pydicom
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Points
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import napari_deepmtj
from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.contributions.commands import open_clips
from napari_deepmtj._napari.contributions.reader import get_reader
from napari_deepmtj._napari.contributions.writer import save_result
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.tracking.run import Request, TrackRun
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import PLUGIN, Settings, read_settings
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import ResultError, VideoError
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory

MANIFEST = Path(napari_deepmtj.__file__).with_name("napari.yaml")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def plugin(npe2pm):
    """Register this plugin alone."""
    manifest = PluginManifest.from_file(MANIFEST)
    npe2pm.register(manifest)
    return manifest


def test_the_manifest_at_the_root_is_the_one_in_the_package():
    assert (ROOT / "napari.yaml").read_bytes() == MANIFEST.read_bytes()
    assert (ROOT / "napari.yaml").is_symlink()


#: What must not leave a DICOM file.
SECRETS = {
    "PatientName": "DOEBERMANN^JANE",
    "PatientID": "PAT4711",
    "PatientBirthDate": "19700131",
    "InstitutionName": "Saint Elsewhere",
    "StudyDate": "20260823",
    "StudyInstanceUID": "1.2.826.0.1.99.777",
    "ImageComments": "third visit of Mrs Doebermann",
}


def test_nothing_personal_of_a_dicom_file_reaches_the_viewer_or_what_is_saved(
    tmp_path, tiny_model, in_a_loop, caplog
):
    path, out = tmp_path / "a" / "IM_0001", tmp_path / "b"
    path.parent.mkdir()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    dataset.update({"Rows": 56, "Columns": 112, "NumberOfFrames": 3, "SamplesPerPixel": 1})
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME2"
    region = pydicom.Dataset()  # one that does not fit, so that there is something to tell
    for name, value in {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionLocationMinX0": 0,
        "RegionLocationMinY0": 0,
        "RegionLocationMaxX1": 900,
        "RegionLocationMaxY1": 40,
    }.items():
        setattr(region, name, value)
    dataset.SequenceOfUltrasoundRegions = [region]
    for name, value in SECRETS.items():
        setattr(dataset, name, value)
    noise = np.random.default_rng(0).integers(0, 255, (3, 56, 112), np.uint8)
    dataset.PixelData = noise.tobytes()
    dataset.save_as(path, enforce_file_format=True)

    viewer, told = ViewerModel(), []
    session = session_of(viewer)
    with notification_manager:
        notification_manager.notification_ready.connect(lambda note: told.append(note.message))
        (clip,) = open_clips(viewer, [path])
        damaged = tmp_path / "a" / "IM_0002"
        damaged.write_bytes(path.read_bytes()[:-9000])
        open_clips(viewer, [damaged])
    TrackRun(session, clip, Request(tiny_model, device="cpu", path=True)).start()
    calibration.find_picture(session, clip, lambda found: None)
    calibration.show_region(session, clip, Roi(1, 2, 30, 40))
    calibration.apply_scale(session, clip, Scale(0.1, 0.1, "given by hand"))
    said = [repr(told), viewer.status, viewer.canvas.overlays.text.text, session.message]
    points = session.find(clip, convert.Kind.TRAJECTORY)
    saved = [save_result(points, path, out), calibration.save(clip)]
    for layer in viewer.layers:
        found = convert.ours(layer)
        said += [layer.name, repr(dict(layer.metadata)), str(found.get("trajectory"))]
    files = [file for file in (*out.iterdir(), *saved) if file.is_file()]
    assert len(told) >= 2
    assert len(files) >= 4
    text = "\n".join([*said, caplog.text, *(file.read_text() for file in files)])
    assert "dicom-" in text
    secrets = [*SECRETS.values(), "DOEBERMANN", "JANE", "Doebermann"]
    secrets.append(meta.MediaStorageSOPInstanceUID)
    assert [secret for secret in secrets if secret in text] == []
    assert str(tmp_path) not in text


def test_every_command_of_the_manifest_can_be_imported(plugin):
    commands = plugin.contributions.commands
    assert len(commands) >= 7
    for command in commands:
        module, name = command.python_name.split(":")
        found = getattr(__import__(module, fromlist=[name]), name)
        assert callable(found)


def test_no_pattern_claims_everything_or_what_the_reader_refuses(plugin):
    (reader,) = plugin.contributions.readers
    assert "*" not in reader.filename_patterns
    for pattern in reader.filename_patterns:
        suffix = pattern.removeprefix("*")
        known = suffix == ".mtj.csv" or suffix in reader_suffixes()
        assert known, pattern


def reader_suffixes():
    from napari_deepmtj._napari.contributions.reader import PICTURES, VIDEOS

    return VIDEOS | PICTURES


def test_a_video_opens_through_the_plugin(plugin, make_clip, scale):
    viewer = ViewerModel()
    (layer,) = viewer.open(str(make_clip(scale=scale)), plugin=PLUGIN)
    assert layer.data.shape == (20, 56, 112)
    assert convert.kind_of(layer) is convert.Kind.CLIP


def test_pictures_and_stacks_open_and_foreign_ones_are_left_to_others(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (5, 30, 40), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", grey)
    Image.fromarray(grey[0]).save(tmp_path / "still.png")
    (tmp_path / "fake.png").write_text("no picture")
    tifffile.imwrite(
        tmp_path / "volume.tif", np.zeros((2, 7, 4, 30, 40), np.uint8), photometric="minisblack"
    )
    for name, frames in (("stack.tif", 5), ("still.png", 1)):
        path = str(tmp_path / name)
        ((data, arguments, kind),) = get_reader(path)(path)
        assert (data.shape, kind) == ((frames, 30, 40), "image")
        assert arguments["contrast_limits"] == (0, 255)
        np.testing.assert_array_equal(data[0:1, :, :][0], grey[0])
        data.source.close()
    for name in ("fake.png", "volume.tif", "absent.tif", "notes.txt", "table.csv"):
        assert get_reader(str(tmp_path / name)) is None
    assert get_reader([str(tmp_path / "stack.tif")]) is None


def opened(path):
    """What the reader makes of a file or folder; None if it leaves it to others."""
    reader = get_reader(str(path))
    if reader is None:
        return None
    ((data, arguments, kind),) = reader(str(path))
    assert (kind, arguments["contrast_limits"]) == ("image", (0, 255))
    frames = np.asarray(data[:])
    data.source.close()
    return frames


def test_arrays_and_converted_clips_open_and_other_arrays_are_left(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (5, 30, 40), np.uint8)
    np.save(tmp_path / "stack.npy", grey)
    np.save(tmp_path / "volume.npy", np.zeros((2, 7, 4, 30, 40)))
    np.testing.assert_array_equal(opened(tmp_path / "stack.npy"), grey)
    for name, makes in (("clip.tvd.h5", True), ("other.h5", False)):
        with h5py.File(tmp_path / name, "w") as file:
            file["frames/gray" if makes else "table"] = grey
            if makes:
                file["timing/time_ms"] = np.arange(5) * 20.0
    np.testing.assert_array_equal(opened(tmp_path / "clip.tvd.h5"), grey)
    for name in ("volume.npy", "other.h5"):
        assert get_reader(str(tmp_path / name)) is None
    (tmp_path / "broken.tvd.h5").write_bytes(b"nothing")  # named as ours: the reason is told
    with pytest.raises(VideoError, match=r"broken\.tvd\.h5"):
        opened(tmp_path / "broken.tvd.h5")


def test_a_folder_is_claimed_only_if_it_is_a_clip(plugin, tmp_path, make_clip, make_trajectory):
    grey = np.random.default_rng(0).integers(0, 255, (3, 30, 40), np.uint8)
    series = tmp_path / "series"
    series.mkdir()
    (series / "a list.txt").write_text("not a picture")
    for i, picture in enumerate(grey):
        Image.fromarray(picture).save(series / f"frame{i}.png")
    np.testing.assert_array_equal(opened(series), grey)
    store = zarr.create_array(tmp_path / "clip.zarr", shape=grey.shape, dtype="uint8")
    store[:] = grey
    np.testing.assert_array_equal(opened(tmp_path / "clip.zarr"), grey)
    results = tmp_path / "results"
    write_trajectory(make_trajectory(), results / "clip.mtj.csv")
    videos = tmp_path / "videos"
    make_clip().rename(tmp_path / "video.avi")
    videos.mkdir()
    (tmp_path / "video.avi").rename(videos / "video.avi")
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (results, videos, empty):
        assert get_reader(str(folder)) is None
    # as dropped on a window
    (layer,) = ViewerModel().open(str(series), plugin=PLUGIN)
    assert layer.data.shape == (3, 30, 40)


def write_dicom(path, pixels, number):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.SeriesInstanceUID, dataset.InstanceNumber, dataset.FrameTime = "1.2.3", number, 25
    dataset.add_new("PixelData", "OB", pixels.tobytes())
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def test_a_dicom_file_and_a_folder_with_a_series_open(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (3, 30, 40), np.uint8)
    write_dicom(tmp_path / "CLIP.DCM", grey, 1)
    np.testing.assert_array_equal(opened(tmp_path / "CLIP.DCM"), grey)
    series = tmp_path / "series"
    series.mkdir()
    for number in (3, 1, 2):  # files without an extension, in another order than their numbers
        write_dicom(series / f"IM_{7 - number}", grey[number - 1 :][:1], number)
    np.testing.assert_array_equal(opened(series), grey)


def test_a_result_written_from_a_layer_comes_back_as_points(
    plugin, tmp_path, make_trajectory, scale
):
    viewer = ViewerModel()
    trajectory = make_trajectory(scale=scale)
    placement = convert.Placement.of_trajectory(trajectory)
    data, arguments, _ = convert.layer_of_trajectory(trajectory, placement, "id")
    layer = viewer.add_points(data, **arguments)
    path = tmp_path / "clip.mtj.csv"
    assert layer.save(str(path), plugin=PLUGIN) == [str(path)]
    assert (tmp_path / "clip.mtj.json").is_file()
    (again,) = viewer.open(str(path), plugin=PLUGIN)
    assert isinstance(again, Points)
    np.testing.assert_allclose(again.data, layer.data)
    np.testing.assert_allclose(again.scale, layer.scale)
    restored = convert.trajectory_of(again)
    pd.testing.assert_frame_equal(restored.table, trajectory.table, check_dtype=False)
    assert restored.provenance == trajectory.provenance


def test_corrections_are_saved_even_without_a_session(plugin, tmp_path, make_trajectory):
    trajectory = make_trajectory()
    data, arguments, _ = convert.layer_of_trajectory(trajectory, convert.Placement(), "id")
    layer = Points(data, **arguments)
    layer.data = layer.data + [0, 1, 0]
    layer.save(str(tmp_path / "a.mtj.csv"), plugin=PLUGIN)
    saved = read_trajectory(tmp_path / "a.mtj.csv")
    assert saved.table["origin"].tolist() == [
        "PREDICTED" if i == 3 else "CORRECTED" for i in range(8)
    ]
    assert saved.xy_px[0].tolist() == [10, 21.5]


def test_plain_points_are_not_saved_as_a_trajectory(plugin, tmp_path):
    path = tmp_path / "a.mtj.csv"
    with pytest.raises(Exception, match="holds no trajectory"):
        Points([[0, 1, 2]]).save(str(path), plugin=PLUGIN)
    assert not path.exists()


def test_the_open_command_goes_by_content_and_reports_what_it_cannot_read(
    viewer, make_clip, tmp_path, make_trajectory
):
    from napari.utils.notifications import notification_manager

    bare = make_clip().rename(tmp_path / "IM_0001")  # no extension, as scanners export
    broken = tmp_path / "broken.avi"
    broken.write_text("no video")
    saved = write_trajectory(make_trajectory(n_frames=20, clip="IM_0001"), tmp_path / "r.mtj.csv")
    before = len(notification_manager.records)
    added = open_clips(viewer, [bare, broken, saved])
    assert [la.name for la in added] == ["IM_0001", "MTJ IM_0001"]
    assert session_of(viewer).clip_of(added[1]) is added[0]
    told = [str(r.message) for r in list(notification_manager.records)[before:]]
    assert len(told) == 1
    assert "broken.avi" in told[0]


def test_settings_have_the_defaults_of_the_manifest(plugin, plugin_settings):
    assert read_settings() == Settings()
    from napari.settings import get_plugin_settings

    get_plugin_settings(PLUGIN).tracking.device = "cpu"
    assert read_settings() == Settings(device="cpu")
    get_plugin_settings(PLUGIN).tracking.backend = "torch"
    assert read_settings() == Settings(device="cpu", backend="torch")
    with pytest.raises(ValueError, match="quantum"):
        get_plugin_settings(PLUGIN).tracking.device = "quantum"


def test_without_the_plugin_the_settings_are_the_defaults(npe2pm, plugin_settings):
    assert PLUGIN not in npe2pm
    assert read_settings() == Settings()


def test_results_go_beside_the_clip_unless_a_folder_is_set(tmp_path, make_trajectory):
    data, arguments, _ = convert.layer_of_trajectory(make_trajectory(), convert.Placement(), "id")
    layer = Points(data, **arguments)
    clip, folder = tmp_path / "clip.avi", Settings(output_folder=str(tmp_path / "out")).folder
    assert save_result(layer, clip, Settings().folder) == tmp_path / "clip.mtj.csv"
    assert save_result(layer, clip, folder) == tmp_path / "out" / "clip.mtj.csv"
    assert save_result(layer, None, folder) == tmp_path / "out" / "clip.mtj.csv"
    with pytest.raises(ResultError, match="no file"):
        save_result(layer, None, None)
    saved = read_trajectory(tmp_path / "out" / "clip.mtj.csv")
    np.testing.assert_allclose(saved.xy_px, make_trajectory().xy_px)


def test_sample_data_is_the_moving_phantom(plugin):
    viewer = ViewerModel()
    (layer,) = viewer.open_sample(PLUGIN, "moving-phantom")
    assert convert.kind_of(layer) is convert.Kind.CLIP
    source = layer.data.source
    assert source.truth.shape == (source.n_frames, 2)
    assert str(layer.units[-1]) == "millimeter"
    assert np.asarray(layer.data[3:4]).std() > 0
