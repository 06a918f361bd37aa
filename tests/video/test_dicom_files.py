"""Regions, folders of single pictures, and what must not leave the file."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from napari_deepmtj.calibration.roi import resolve_roi
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import DeepMTJError, VideoError
from napari_deepmtj.video.dicom.regions import choose
from napari_deepmtj.video.opening import VideoSource, open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "real" / "dicom"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recordings at {REAL}")


def region(
    x0: int = 10, y0: int = 20, x1: int = 89, y1: int = 59, mm: tuple = (0.2, 0.3), **more: Any
) -> Dataset:
    """A region of tissue in centimetres, but for what `more` says."""
    dataset = Dataset()
    dataset.RegionSpatialFormat, dataset.RegionDataType, dataset.RegionFlags = 1, 1, 0
    dataset.RegionLocationMinX0, dataset.RegionLocationMinY0 = x0, y0
    dataset.RegionLocationMaxX1, dataset.RegionLocationMaxY1 = x1, y1
    dataset.PhysicalUnitsXDirection = dataset.PhysicalUnitsYDirection = 3
    dataset.PhysicalDeltaX, dataset.PhysicalDeltaY = mm[0] / 10, mm[1] / 10
    for name, value in more.items():
        setattr(dataset, name, value)
    return dataset


SERIES = generate_uid()


def write(path: Path, regions: list[Dataset] = (), pixels: Any = None, **tags: Any) -> Path:
    """Write a clip of 100 x 80 px with regions."""
    pixels = np.zeros((2, 80, 100), np.uint8) if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.SeriesInstanceUID, dataset.FrameTime = SERIES, 25
    if regions:
        dataset.SequenceOfUltrasoundRegions = list(regions)
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def test_region_and_its_millimetres(tmp_path) -> None:
    ecg = region(0, 65, 99, 79, RegionSpatialFormat=4, RegionDataType=10, PhysicalUnitsXDirection=4)
    with open_video(write(tmp_path / "a", [ecg, region()])) as source:
        assert source.roi == Roi(10, 20, 80, 40, "DICOM region")
        assert source.scale is not None
        assert (source.scale.x_mm, source.scale.y_mm) == pytest.approx((0.2, 0.3))
        assert source.scale.source == "DICOM region"
        assert source.notices == ()
        assert resolve_roi("auto", source) == (source.roi, ())
        assert [r["refused"] for r in source.metadata["regions"]] == [
            "its axes are not both in centimetres",
            None,
        ]


def test_the_edge_after_the_last_pixel_is_understood(tmp_path) -> None:
    with open_video(write(tmp_path / "a", [region(10, 20, 100, 80)])) as source:
        assert source.roi == Roi(10, 20, 90, 60, "DICOM region")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"x1": 101}, "10,20 to 101,59 does not fit the picture of 100 x 80 px"),
        ({"y1": 300}, "10,20 to 89,300 does not fit the picture"),
        ({"x0": 95, "x1": 90}, "it is empty"),
        ({"PhysicalUnitsXDirection": 4}, "its axes are not both in centimetres"),
        ({"PhysicalUnitsYDirection": 0}, "its axes are not both in centimetres"),
        ({"RegionSpatialFormat": 2}, "it does not show tissue in two dimensions"),
        ({"RegionDataType": 3}, "it does not show tissue in two dimensions"),
        ({"mm": (0, 0.2)}, "its pixels have no size"),
        ({"mm": (0.2, 0)}, "its pixels have no size"),
        ({"PhysicalDeltaX": None}, "its pixels have no size"),
        ({"RegionLocationMinX0": None}, "it has no place"),
    ],
)
def test_a_region_that_something_speaks_against_is_refused_with_the_reason(
    tmp_path, wrong, why
) -> None:
    with open_video(write(tmp_path / "a", [region(**wrong)])) as source:
        assert (source.roi, source.scale) == (None, None)
        assert f"no ultrasound region of the file is used: {why}" in source.notices[0]
        assert why in source.metadata["regions"][0]["refused"]


def chosen(*regions: Dataset):
    names = [element.keyword for element in regions[0]]
    return choose([{name: float(r.get(name)) for name in names} for r in regions], 80, 100)


def test_one_misfit_puts_all_regions_in_doubt() -> None:
    result = chosen(region(), region(0, 0, 400, 300))
    assert (result.roi, result.scale) == (None, None)
    assert "another region does not fit" in str(result.facts[0]["refused"])


def test_largest_of_several_regions_if_it_is_by_far() -> None:
    result = chosen(region(0, 0, 19, 19, (0.09, 0.09)), region())
    assert result.roi == Roi(10, 20, 80, 40, "DICOM region")
    assert result.scale == Scale(0.2, 0.3, "DICOM region")
    assert result.facts[0]["refused"] == "a larger region is used"
    twice = chosen(region(), region())
    assert twice.roi == result.roi


@pytest.mark.parametrize("mm", [(9.0, 9.0), (0.2, 9.0), (0.003, 0.003), (4.0, 0.2), (0.01, 0.01)])
def test_a_region_of_an_impossible_size_is_left_out_and_told(mm) -> None:
    result = chosen(region(mm=mm))
    assert (result.scale, result.roi) == (None, None)
    assert "mm per px" in str(result.notice)


def test_regions_of_like_size_leave_the_choice_open() -> None:
    left, right = region(0, 0, 49, 79), region(50, 0, 99, 79)
    result = chosen(left, right)
    assert result.roi is None
    assert result.scale == Scale(0.2, 0.3, "DICOM region")
    assert "their common scale is used" in str(result.notice)
    result = chosen(left, region(50, 0, 99, 79, (0.2, 0.31)))
    assert (result.roi, result.scale) == (None, None)
    assert "nor is one of their scales" in str(result.notice)


def test_region_of_the_file_stands_above_the_sidecar_whose_scale_wins(tmp_path) -> None:
    path = write(tmp_path / "a", [region()])
    write_sidecar(path, ClipInfo(Scale(0.5, 0.5, "by hand"), Roi(1, 2, 30, 40)))
    with open_video(path) as source:
        assert source.roi == Roi(10, 20, 80, 40, "DICOM region")
        assert source.scale == Scale(0.5, 0.5, "side-car (by hand)")
        assert "1,2,30,40 of its side-car differs from that of the file, 10,20" in source.notices[0]
        assert "the scale of its side-car, 0.5 x 0.5 mm/px, is used" in source.notices[1]
    write_sidecar(path, ClipInfo(distal_side="left"))
    with open_video(path) as source:
        assert source.roi == Roi(10, 20, 80, 40, "DICOM region")
        assert source.notices == ()


def series(folder: Path, numbers: list[int], **tags: Any) -> Path:
    """Write single pictures whose level is their instance number, named in another order."""
    folder.mkdir(exist_ok=True)
    for at, number in enumerate(numbers):
        picture = np.full((1, 80, 100), number, np.uint8)
        write(folder / f"I{at:03}", [region()], picture, **({"InstanceNumber": number} | tags))
    return folder


def test_folder_of_single_pictures_is_sorted_by_instance_number(tmp_path) -> None:
    folder = series(tmp_path / "series", [10, 9, 2, 30])
    (folder / "notes.txt").write_text("not a picture")
    (folder / "DICOMDIR").write_bytes((folder / "I000").read_bytes())
    with open_video(folder) as source:
        assert [int(frame[0, 0]) for frame in source.frames()] == [2, 9, 10, 30]
        assert int(source.read(3)[5, 5]) == 30
        assert source.roi == Roi(10, 20, 80, 40, "DICOM region")
        assert source.times.rate == pytest.approx(40)
        assert source.notices == (
            f"{source.name}: 25 instance numbers are missing; frames may be lost",
        )
        assert source.name == f"dicom-{source.sha256[:10]}"
        assert source.path == folder


def test_folder_of_one_clip_is_that_clip(tmp_path) -> None:
    path = write(tmp_path / "a")
    with open_video(tmp_path) as folder, open_video(path) as file:
        assert (folder.name, folder.n_frames, folder.path) == (file.name, 2, path)


def test_folders_whose_order_is_not_known_are_refused(tmp_path) -> None:
    with pytest.raises(VideoError, match="instance numbers do not say their order"):
        open_video(series(tmp_path / "a", [1, 2, 2]))
    with pytest.raises(VideoError, match="instance numbers do not say their order"):
        open_video(series(tmp_path / "b", [1, 2], InstanceNumber=None))
    folder = series(tmp_path / "c", [1, 2])
    write(folder / "other", [], np.zeros((1, 80, 100), np.uint8), SeriesInstanceUID="1.2.3")
    with pytest.raises(VideoError, match="is a folder of 2 series, of 2, 1 pictures; give each"):
        open_video(folder)
    folder = series(tmp_path / "d", [1, 2])
    write(folder / "clip")
    with pytest.raises(VideoError, match="is a folder of several clips"):
        open_video(folder)


def test_files_without_a_picture_stay_out_of_a_folder(tmp_path) -> None:
    folder = series(tmp_path / "a", [1, 2])
    for name in ("report", "structured report.dcm"):
        shutil.copy(folder / "I000", folder / name)
        dataset = pydicom.dcmread(folder / name)
        dataset.PatientName = "DOEBERMANN^JANE"
        del dataset.PixelData
        dataset.save_as(folder / name)
    with open_video(folder) as source:
        assert [int(frame[0, 0]) for frame in source.frames()] == [1, 2]
        assert source.notices == (
            f"{source.name}: 2 DICOM files hold no picture and stay out of the clip",
        )
    (folder / "I000").unlink()
    with open_video(folder) as source:
        assert (source.n_frames, len(source.notices)) == (1, 1)
    (folder / "I001").unlink()
    with pytest.raises(VideoError, match=r"^a: is a folder of DICOM files without a picture"):
        open_video(folder)


def test_folder_of_pictures_without_preamble_or_with_others_among_them(tmp_path) -> None:
    folder = series(tmp_path / "a", [2, 1, 3], SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    with open_video(folder) as source:
        assert [int(frame[0, 0]) for frame in source.frames()] == [1, 2, 3]
    (folder / "README").write_text("three pictures")
    with open_video(folder) as source:
        assert source.n_frames == 3
    whole = (folder / "I001").read_bytes()
    for content in (b"", bytes(300)):
        (folder / "I001").write_bytes(content)
        with pytest.raises(VideoError, match=r"^I001: is damaged, or none of the pictures"):
            open_video(folder)
    (folder / "I001").write_bytes(whole)
    Image.new("L", (10, 10)).save(folder / "preview.png")
    with pytest.raises(VideoError, match="a: is a folder of 3 DICOM files and 1 pictures"):
        open_video(folder)


def test_pictures_that_differ_are_told(tmp_path) -> None:
    folder = series(tmp_path / "a", [1, 2])
    picture = np.zeros((1, 80, 100), np.uint8)
    write(folder / "x", [region(0, 0, 50, 50)], picture, InstanceNumber=3, FrameTime=40)
    with open_video(folder) as source:
        assert not source.times.known
        assert (source.roi, source.scale) == (None, None)
        assert "differ in frame time" in source.notices[0]
        assert "differ in their ultrasound regions" in source.notices[1]


def said_by(source: VideoSource) -> str:
    """Everything a clip says of itself."""
    facts = [source.name, source.metadata, source.notices, source.times.source, repr(source)]
    return json.dumps(
        [*facts, str(source.scale), str(source.roi), source.roi and source.roi.source]
    )


#: Representations of values that may name a person, a place, a device, a day.
PERSONAL = ("PN", "UI", "DA", "DT", "TM", "LO", "SH", "ST", "LT", "UT", "AE", "AS", "UN")


def personal(dataset: Dataset) -> set[str]:
    """Every value of a file that may identify a person, parts of names too."""
    found = set()
    for element in dataset.iterall():
        if element.VR in PERSONAL:
            values = element.value if element.VM > 1 else [element.value]
            for value in values:
                text = value.decode("latin1") if isinstance(value, bytes) else str(value)
                found |= {text.strip(), *(text.split("^") if element.VR == "PN" else ())}
    return {text for text in found if len(text) > 3}


SECRETS = {
    "PatientName": "DOEBERMANN^JANE",
    "PatientID": "PAT4711",
    "PatientBirthDate": "19700131",
    "InstitutionName": "Saint Elsewhere",
    "AcquisitionDate": "20260823",
    "AccessionNumber": "ACC90210",
    "OperatorsName": "SONO^GRAHAM",
    "ImageComments": "third visit of Mrs Doebermann",
    "StudyInstanceUID": "1.2.826.0.1.99.777",
}


def test_nothing_personal_leaves_a_file_not_even_a_damaged_one(tmp_path, caplog, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "DOEBERMANN_JANE"
    folder.mkdir()
    path = write(folder / "a", [region(x1=500)], **SECRETS)
    secrets = personal(pydicom.dcmread(path)) | {str(folder), "DOEBERMANN"}
    assert {
        "PAT4711",
        "19700131",
        "Saint Elsewhere",
        "JANE",
        "1.2.826.0.1.99.777",
        SERIES,
    } <= secrets
    whole = path.read_bytes()
    damaged = np.frombuffer(whole, np.uint8)
    rng = np.random.default_rng(1)
    said = []
    opens = 0
    for trial in range(120):
        content = damaged.copy()
        content[rng.integers(132, len(whole) - 16000, 4 * (trial > 0))] ^= 0x41
        cut = len(whole) if trial % 2 == 0 else int(rng.integers(200, len(whole)))
        path.write_bytes(content[:cut].tobytes())
        try:
            with warnings.catch_warnings(record=True) as warned, open_video(path) as source:
                opens += 1
                list(source.frames())
                said.append(said_by(source))
        except DeepMTJError as error:
            said.append(str(error) + repr(error.__cause__))
        said += [str(w.message) for w in warned]
    assert 10 < opens < 110
    text = "\n".join([*said, caplog.text, *capfd.readouterr()])
    assert [secret for secret in secrets if secret in text] == []


def test_nothing_personal_leaves_a_folder(tmp_path, caplog, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    folder = series(tmp_path / "a", [1, 2, 4], **SECRETS)
    secrets = personal(pydicom.dcmread(folder / "I000")) | {str(tmp_path)}
    said = []
    with open_video(folder) as source:
        list(source.frames())
        said.append(said_by(source))
    pictures = sorted(folder.iterdir())
    whole = pictures[1].read_bytes()
    for change in (
        whole[: len(whole) // 2],
        whole.replace(b"MONOCHROME2", b"MONOCHROME7"),
        whole.replace(SERIES.encode()[:30], b"9" * 30),
    ):
        pictures[1].write_bytes(change)
        with pytest.raises(VideoError) as caught:
            open_video(folder)
        said.append(str(caught.value) + repr(caught.value.__cause__))
    text = "\n".join([*said, caplog.text, *capfd.readouterr()])
    assert [secret for secret in secrets if secret in text] == []


@real
@pytest.mark.parametrize("path", sorted(REAL.glob("*")), ids=lambda path: path.name)
def test_nothing_personal_leaves_a_real_file(path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        secrets = personal(pydicom.dcmread(path)) | {str(path.parent), path.name}
    with open_video(path) as source:
        text = said_by(source)
        assert source.read(0).shape == (source.height, source.width)
        with pytest.raises(VideoError) as caught:
            source.read(99)
    assert [secret for secret in secrets if secret in text + str(caught.value)] == []
