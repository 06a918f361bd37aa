"""The rows of a batch and their table, without a window of napari."""

import time
from types import SimpleNamespace

import pandas as pd
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_deepmtj._napari.batch.rows import FILTERS, ORDERS, Row, Rows, rows_of
from napari_deepmtj._napari.batch.table import (
    COLUMNS,
    BatchModel,
    batch_table,
    look_of,
    tip_of,
)
from napari_deepmtj.batch.events import ClipBegan, ClipDone, ClipFailed, ClipKept, ClipProgress
from napari_deepmtj.batch.ledger import Ledger, Line


def row(number, **values):
    said = {"state": "to do", "scale": "none", "roi": "auto", "model": "tiny"} | values
    return Row(name=f"{number}.mtj.csv", clip=f"a/b/{number}.avi", **said)


def task(number):
    return SimpleNamespace(name=f"{number}.mtj.csv")


@pytest.fixture
def rows():
    return Rows(
        [
            row(0, state="done", flagged=3, frames=10, scale="table"),
            row(1, state="failed before", note="no frame"),
            row(2, state="done", flagged=0, frames=10),
            row(3, state="done", flagged=2, frames=4),
        ]
    )


@pytest.fixture
def table(rows):
    made = BatchModel()
    made.show(rows)
    return made


def texts(table, column):
    role = Qt.ItemDataRole.DisplayRole
    at = COLUMNS.index(column)
    return [table.data(table.index(line, at), role) for line in range(table.rowCount())]


def test_filters_and_orders_say_which_rows_and_when(rows):
    places = {name: rows.arranged(name) for name in FILTERS}
    assert list(places.values()) == [[0, 1, 2, 3], [1], [1, 2, 3], [1], [0, 2, 3], [3, 0]]
    assert {name: len(found) for name, found in places.items()} == rows.counts()
    assert rows.arranged("all clips", "flagged", descending=True) == [3, 0, 2, 1]
    assert set(ORDERS) == set(COLUMNS)
    assert [r.short for r in rows] == ["0.avi", "1.avi", "2.avi", "3.avi"]


def test_rows_follow_the_events_of_a_run(rows):
    line = Line(
        result="1.mtj.csv", clip="x", facts={"frames": 9, "flagged": 4, "notices": ["shortened"]}
    )
    seen = []
    for event in (ClipBegan(task(1)), ClipProgress(task(1), 3, 9), ClipDone(task(1), line)):
        assert rows.follow(event) == 1
        seen.append((rows[1].state, rows[1].reached, rows[1].frames, rows[1].flagged, rows[1].note))
    assert seen == [
        ("running", 0, 0, None, ""),
        ("running", 3, 9, None, ""),
        ("done", 3, 9, 4, "shortened"),
    ]
    assert rows.follow(ClipFailed(task(2), "gone")) == 2
    assert (rows[2].state, rows[2].note, rows[2].failed) == ("failed", "gone", True)
    assert rows.follow(ClipKept(task(1))) == 1
    assert rows.follow(ClipKept(task(77))) == -1
    assert rows.follow(object()) == -1
    rows.follow(ClipProgress(task(3), 1, 4))
    rows.settle()
    assert [r.state for r in rows] == ["done", "done", "failed", "to do"]


def test_a_dry_run_becomes_rows_with_what_the_ledger_knows(tmp_path):
    ledger = Ledger.of(tmp_path)
    ledger.append(Line(result="a.mtj.csv", clip="a.avi", failed="a.avi is damaged"))
    ledger.append(Line(result="b.mtj.csv", clip="b.avi", facts={"frames": 5, "flagged": 1}))
    listed = pd.DataFrame(
        {
            "file": ["a.avi", "b.avi", "c.avi"],
            "subject": ["S1", "", "S3"],
            "result": ["a.mtj.csv", "b.mtj.csv", "c.mtj.csv"],
            "model": "tiny",
            "roi": "auto",
            "scale": "none",
            "state": ["failed before", "done", "to do"],
        }
    )
    a, b, c = rows_of(listed, ("subject",), ledger)
    assert (a.note, a.facts, a.flagged) == ("a.avi is damaged", "subject S1", None)
    assert (b.frames, b.flagged, b.facts) == (5, 1, "")
    assert (c.note, c.flagged) == ("", None)


def test_the_table_shows_filters_sorts_and_changes_only_what_changed(table, rows):
    assert texts(table, "flagged") == ["3 / 10", "", "0 / 10", "2 / 4"]
    assert texts(table, "note")[1] == "no frame"
    touched = []
    table.dataChanged.connect(lambda first, last, roles: touched.append((first.row(), last.row())))
    rows.follow(ClipProgress(task(2), 5, 10))
    table.update({2})
    assert touched == [(2, 2)]
    assert texts(table, "state") == ["done", "failed before", "5 / 10", "done"]
    table.sort(COLUMNS.index("flagged"), Qt.SortOrder.DescendingOrder)
    assert texts(table, "clip") == ["3.avi", "0.avi", "2.avi", "1.avi"]
    table.choose("failed")
    assert texts(table, "clip") == ["1.avi"]
    assert (table.place(0), table.line(1), table.line(0)) == (1, 0, -1)
    rows.follow(ClipFailed(task(0), "gone"))
    table.update({0})
    assert sorted(texts(table, "clip")) == ["0.avi", "1.avi"]
    table.sort(-1)
    assert texts(table, "clip") == ["0.avi", "1.avi"]


def test_colours_tell_failures_lacking_scales_and_flags(rows):
    names = {
        (r.short, column): look_of(r, column)
        for r in rows
        for column in COLUMNS
        if look_of(r, column) is not None
    }
    assert {at for at in names if at[0] == "1.avi"} == {
        ("1.avi", "state"),
        ("1.avi", "scale"),
        ("1.avi", "note"),
    }
    assert ("0.avi", "scale") not in names
    assert names["0.avi", "flagged"] == names["2.avi", "scale"]
    assert names["1.avi", "state"] == "bad" != names["0.avi", "state"] == "good"
    assert "a/b/0.avi" in tip_of(rows[0], "clip")
    assert "result 0.mtj.csv" in tip_of(rows[0], "clip")


def luminance(red, green, blue):
    """Relative luminance of WCAG 2.1, of channels in 0..255."""
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (channel / 255 for channel in (red, green, blue))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_colours_can_be_read_in_every_theme(table, theme):
    table.set_theme("light" if theme == "dark" else "dark")
    table.set_theme(theme)  # as a person does, with rows there
    cells = luminance(*get_theme(theme).foreground.as_rgb_tuple())
    role, found = Qt.ItemDataRole.ForegroundRole, set()
    for line in range(table.rowCount()):
        for column in range(table.columnCount()):
            colour = table.data(table.index(line, column), role)
            if colour is not None:
                low, high = sorted([cells, luminance(*colour.getRgb()[:3])])
                assert (high + 0.05) / (low + 0.05) >= 4.5, colour.name()
                found.add(colour.name())
    assert len(found) == 3


@pytest.mark.gui
def test_two_thousand_rows_are_shown_sorted_and_followed_without_a_freeze(qtbot):
    """By the main thread's own work: the clock of a busy test machine says nothing."""
    rows = Rows([row(number) for number in range(2000)])
    model = BatchModel()
    view = batch_table(model)
    qtbot.addWidget(view)
    view.resize(420, 400)
    view.show()
    qtbot.waitExposed(view)
    work = []

    def measured(do):
        began = time.thread_time()
        do()
        QApplication.processEvents()
        work.append(time.thread_time() - began)

    measured(lambda: model.show(rows))
    for shown in FILTERS:
        measured(lambda shown=shown: model.choose(shown))
        for first in range(0, 2000, 500):
            places = {rows.follow(ClipFailed(task(first + k), "gone")) for k in range(50)}
            measured(lambda places=places: model.update(places))
    for column in range(len(COLUMNS)):
        measured(lambda column=column: view.sortByColumn(column, Qt.SortOrder.DescendingOrder))
    measured(view.scrollToBottom)
    measured(lambda: model.choose("failed"))
    assert model.rowCount() == 200
    assert max(work) < 0.3
