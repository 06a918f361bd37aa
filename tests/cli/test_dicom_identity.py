"""Nothing that names a person leaves a DICOM clip: not in files, nor in what is printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SECRETS = {
    "PatientName": "Zweifel^Adalbert",
    "PatientID": "QX-771-93",
    "PatientBirthDate": "19510423",
    "ReferringPhysicianName": "Oberholzer^Kunigunde",
    "InstitutionName": "Klinik Seeblick",
    "AccessionNumber": "ACC4471190",
    "StudyDescription": "Achilles links Zweifel",
}
FORMATS = ("tidy", "dlc-csv", "trc", "c3d", "netcdf", "report", "report-html", "methods")
WORDS = (
    "zweifel",
    "1951-04-23",
    "adalbert",
    "qx-771-93",
    "19510423",
    "oberholzer",
    "seeblick",
    "acc4471190",
)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip with all of it; its file is called as a scanner calls it."""
    path = tmp_path / "export" / "IM_0001.dcm"
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (6, 60, 80), dtype=np.uint8)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SeriesInstanceUID, data.Modality = generate_uid(), "US"
    data.NumberOfFrames, data.Rows, data.Columns = frames.shape
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 7, 0, 1
    data.PhotometricInterpretation, data.FrameTime = "MONOCHROME2", "40"
    for name, value in SECRETS.items():
        setattr(data, name, value)
    data.PixelData = frames.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def leaks(text: str) -> list[str]:
    return [word for word in WORDS if word in text.lower()]


def test_no_result_and_no_line_names_the_person(run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    said = []

    def call(*words: object) -> int:
        code, printed, errors = run(*words)
        said.append(printed + errors)
        return code

    assert call("track", clip, "--out", out, "--scale", "0.2", "--device", "cpu") == 0
    (result,) = out.rglob("*.mtj.csv")
    done = [form for form in FORMATS if call("export", result, "--to", form) == 0]
    assert len(done) >= len(FORMATS) - 2, done  # an untrained eye: gaps are refused by some
    assert call("mechanics", result, "--distal", "right") in (0, 1)
    assert call("process", result, "--gate", "--smooth", "kalman") == 0
    assert call("batch", clip.parent, "--out", out / "batch", "--scale", "0.2") == 0
    call("reproduce", result)  # smoothed since, so it may say that it differs
    assert call("track", clip, "--out", out, "--scale", "155") != 0
    assert call("track", clip, "--out", out, "--frames", "90:") != 0
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) > 8
    for path in written:
        assert leaks(str(path.relative_to(out))) == [], path
        assert leaks(path.read_bytes().decode("latin-1")) == [], path
    assert [leaks(text.replace(str(clip), "")) for text in said if leaks(text)] == []
