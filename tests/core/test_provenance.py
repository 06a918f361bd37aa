from __future__ import annotations

import datetime as dt
import json

import pytest

from napari_deepmtj import __version__
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.provenance import Operation, Provenance
from napari_deepmtj.errors import ResultError


def complete() -> Provenance:
    return Provenance(
        clip="Läufer 1.avi",
        clip_sha256="ab" * 32,
        n_frames=44,
        height=128,
        width=256,
        times_source="container",
        roi=Roi(1, 2, 30, 40, "preset:esaote-mylab60"),
        scale=Scale(0.1, 0.2, "DICOM region"),
        operations=(Operation("track", {"model": "compact"}, "napari-deepmtj 9", "2026-01-01"),),
    )


@pytest.mark.parametrize(
    "provenance", [complete(), Provenance("a.avi", "00", 1, 2, 3)], ids=["complete", "bare"]
)
def test_json_round_trip(provenance: Provenance) -> None:
    text = json.dumps(provenance.to_json())
    assert Provenance.from_json(json.loads(text)) == provenance


def test_operations_are_appended_and_stamped() -> None:
    first = complete()
    second = first.and_then("correct", frame=3, xy_px=[1.0, 2.0])
    assert first.operations == second.operations[:-1]
    last = second.operations[-1]
    assert (last.name, last.arguments) == ("correct", {"frame": 3, "xy_px": [1.0, 2.0]})
    assert last.software == f"napari-deepmtj {__version__}"
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(last.when)
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=1)


def test_a_newer_schema_asks_for_an_update() -> None:
    with pytest.raises(ResultError, match=r"schema 2.*update napari-deepmtj"):
        Provenance.from_json(complete().to_json() | {"schema": 2})


@pytest.mark.parametrize("key", ["clip", "roi", "scale", "operations"])
def test_missing_parts_are_named(key: str) -> None:
    data = complete().to_json()
    del data[key]
    with pytest.raises(ResultError, match=key):
        Provenance.from_json(data)


def test_unknown_parts_of_an_operation_are_refused() -> None:
    data = complete().to_json()
    data["operations"][0]["mood"] = "good"
    with pytest.raises(ResultError, match="mood"):
        Provenance.from_json(data)
