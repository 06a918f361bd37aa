import re

import pytest

from napari_deepmtj.batch.plan import Options, dry_run, make_plan
from napari_deepmtj.batch.presets import Preset, read_presets, write_presets
from napari_deepmtj.batch.study import Entry, read_study
from napari_deepmtj.calibration.roi import PRESETS
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import CalibrationError

LAB = """
["lab 2"]
roi = [185, 128, 580, 290]
scale = 0.0883
distal_side = "right"

[other]
scale = [0.1, 0.2]
"""


@pytest.fixture
def presets(tmp_path):
    path = tmp_path / "presets.toml"
    path.write_text(LAB, encoding="utf-8")
    return path


def test_a_file_of_presets_stands_beside_the_published_regions(presets):
    known = read_presets(presets)
    assert known["lab 2"] == Preset(
        "lab 2",
        Roi(185, 128, 580, 290, "preset:lab 2"),
        Scale(0.0883, 0.0883, "preset:lab 2"),
        "right",
    )
    assert known["other"] == Preset("other", scale=Scale(0.1, 0.2, "preset:other"))
    assert known["telemed-artus"] == Preset("telemed-artus", PRESETS["telemed-artus"])


def test_presets_are_written_as_they_are_read(tmp_path, presets):
    known = read_presets(presets)
    mine = [known["lab 2"], known["other"], Preset('ä "b" ]', distal_side="left")]
    path = write_presets(mine, tmp_path / "deep" / "again.toml")
    assert [read_presets(path)[preset.name] for preset in mine] == mine


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[a]\nroi = [1, 2, 3]", "preset 'a': roi must be [x, y, width, height]"),
        ("[a]\nroi = [1, 2, 3.5, 4]", "whole pixels"),
        ("[a]\nroi = [0, 0, 0, 4]", "is empty"),
        ("[a]\nscale = -1", "positive"),
        ("[a]\nscale = true", "scale must be"),
        ("[a]\nscale = [1, 2, 3]", "scale must be"),
        ('[a]\ndistal_side = "up"', 'distal_side must be "left" or "right"'),
        ("[a]\nsize = 1", "unknown entry size"),
        ("[a]", "must be a table with some of"),
        ("a = 1", "must be a table"),
        ("[a", "cannot be read"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, text, complaint):
    path = tmp_path / "presets.toml"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=f"presets.toml: .*{re.escape(complaint)}"):
        read_presets(path)


def test_a_file_that_is_asked_for_must_be_there(tmp_path):
    with pytest.raises(CalibrationError, match="no such file"):
        read_presets(tmp_path / "none.toml")


def test_who_says_more_about_a_clip_is_heard_first(tmp_path, presets, models):
    table = tmp_path / "study.csv"
    table.write_text(
        "file,preset,scale,roi\na.avi,,,\nb.avi,lab 2,,\nc.avi,lab 2,0.5,full\nd.avi,other,,\n"
    )
    said = {"out": tmp_path / "out", "model": "tiny", "presets": presets}

    def settled(**options):
        plan = make_plan(read_study(table), Options(**said, **options))
        return plan, [
            (str(t.request.roi), t.request.scale and t.request.scale.x_mm, t.distal_side)
            for t in plan.tasks
        ]

    plan, rows = settled()
    assert rows == [
        ("auto", None, None),
        ("185,128,580,290", 0.0883, "right"),
        ("full", 0.5, "right"),
        ("auto", 0.1, None),
    ]
    listed = dry_run(plan)
    assert list(listed["scale"]) == ["none", "preset:lab 2", "table", "preset:other"]
    assert list(listed["roi"]) == ["auto", "preset:lab 2", "full", "auto"]
    _, rows = settled(preset="lab 2", scale=Scale(0.9, 0.9, "given by hand"))
    assert rows[0] == ("185,128,580,290", 0.9, "right")
    assert rows[3] == ("185,128,580,290", 0.1, "right")


def test_a_preset_that_is_not_there_is_told_before_anything_runs(tmp_path, presets):
    with pytest.raises(CalibrationError, match=r"no preset 'lab 3'; there are .*lab 2"):
        make_plan(
            [Entry(clip=tmp_path / "a.avi", preset="lab 3")],
            Options(out=tmp_path, presets=presets),
        )
