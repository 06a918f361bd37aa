import math

from napari_deepmtj.batch.ledger import Ledger, Line
from napari_deepmtj.batch.plan import Options, make_plan
from napari_deepmtj.batch.results import results
from napari_deepmtj.batch.study import Entry


def test_the_worst_come_first(tmp_path):
    names = ("good", "flagged", "bad", "unsure", "gone", "new", "blind")
    plan = make_plan(
        [Entry(clip=tmp_path / f"{name}.avi") for name in names], Options(out=tmp_path / "out")
    )
    (tmp_path / "out").mkdir()
    ledger = Ledger.of(tmp_path / "out")

    def line(name, there=True, failed="", **facts):
        task = plan.tasks[names.index(name)]
        facts = {"frames": 10, "in_view": 9, "flagged": 0, "confidence": 0.9} | facts
        ledger.append(Line(result=task.name, clip="", failed=failed, facts=facts))
        if there and not failed:
            for ending in ("csv", "json"):
                task.result.with_suffix(f".{ending}").touch()

    line("good", notices=["a word"])
    line("flagged", flagged=4)
    line("bad", failed="no video")
    line("unsure", confidence=0.4)
    line("gone", there=False)
    line("blind", confidence=None, in_view=0)
    found = results(plan)
    assert [r.task.clip.stem for r in found] == [
        "bad",
        "flagged",
        "blind",
        "unsure",
        "good",
        "gone",
        "new",
    ]
    assert [r.status for r in found].count("not tracked yet") == 2
    assert found[0].reason == "no video"
    assert math.isnan(found[2].confidence)
    assert (found[4].frames, found[4].in_view, found[4].notices) == (10, 9, ("a word",))
