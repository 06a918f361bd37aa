"""The files of an evaluation that other programs read: CSV and JSON. The report is `evaluation`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.errors import ResultError
from napari_deepmtj.evaluation.comparison import Comparison
from napari_deepmtj.evaluation.summary import Summary, curve, summarise
from napari_deepmtj.labels.table import guarded

#: Every frame of every method, all of it as JSON, and in sum.
CSV_NAME, JSON_NAME, SUMMARY_NAME = "evaluation.csv", "evaluation.json", "evaluation-summary.csv"
#: The curve of P20's Fig. 2B, and the differences between methods.
CURVE_NAME, PAIRED_NAME = "evaluation-curve.csv", "evaluation-paired.csv"
#: What a person reads.
REPORT_NAME = "report.html"

NAMES = (CSV_NAME, JSON_NAME, SUMMARY_NAME, CURVE_NAME, PAIRED_NAME, REPORT_NAME)
_TEXT_COLUMNS = ("subject", "clip", "group", "method", "first", "second")


def require_new(folder: Path, remedy: str) -> None:
    """Refuse a folder that holds an evaluation.

    Raises
    ------
    ResultError
        Naming a file that is there, and the remedy.
    """
    for name in NAMES:
        if (folder / name).exists():
            raise ResultError(f"exists; {remedy}", path=folder / name)


def save_tables(comparison: Comparison, settings: Mapping[str, Any], folder: Path) -> list[str]:
    """Write every file but the report, atomically, and return their names.

    Those of an earlier evaluation that this one does not have, its report too, are taken away.

    Parameters
    ----------
    comparison : Comparison
        What was measured.
    settings : mapping
        What it was measured with, for `evaluation.json`.
    folder : Path
        Made if it is not there.
    """
    data = comparison.to_json() | {"settings": dict(settings)}
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    atomic_write(folder / JSON_NAME, text.encode("utf-8"))
    _write_csv(comparison.errors, folder / CSV_NAME)
    _write_csv(summary_frame(comparison), folder / SUMMARY_NAME)
    written = [CSV_NAME, JSON_NAME, SUMMARY_NAME]
    if comparison.unit == "mm":
        curves = [curve(one.errors).assign(method=one.name) for one in comparison.evaluations]
        _write_csv(pd.concat(curves, ignore_index=True), folder / CURVE_NAME)
        written.append(CURVE_NAME)
    paired = comparison.paired()
    if paired:
        _write_csv(pd.DataFrame([_flat(asdict(found)) for found in paired]), folder / PAIRED_NAME)
        written.append(PAIRED_NAME)
    for name in set(NAMES) - set(written):
        (folder / name).unlink(missing_ok=True)
    return written


def summary_frame(comparison: Comparison) -> pd.DataFrame:
    """Return one row a method, then its groups and its subjects, with every figure of `Summary`."""
    rows = []
    for one in comparison.evaluations:
        timed = {"ms_per_frame": one.ms_per_frame, "seconds_per_200_frames": one.seconds_per_200}
        rows.append(_row(one.name, "all", "", one.summary) | timed)
        for over in ("group", "subject"):
            names = sorted({str(name) for name in one.errors[over]})
            for name in names if len(names) > 1 else []:
                part = one.errors[one.errors[over] == name]
                rows.append(_row(one.name, over, name, summarise(part, comparison.unit)))
    return pd.DataFrame(rows)


def _row(method: str, over: str, name: str, summary: Summary) -> dict[str, Any]:
    figures = asdict(summary)
    for key in ("subject_means", "per_subject", "within", "within_intervals"):
        del figures[key]
    shares: dict[str, float] = {}
    for radius, share in summary.within.items():
        between = summary.within_intervals[radius]
        shares[f"within_{radius:g}_mm"] = share
        shares[f"within_{radius:g}_mm_low"] = between.low
        shares[f"within_{radius:g}_mm_high"] = between.high
    return {"method": method, "over": over, "name": name} | _flat(figures) | shares


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings as one: {"along": {"mean": 1}} is {"along_mean": 1}."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        name = key.removesuffix("_interval")
        if isinstance(value, Mapping):
            flat |= {f"{name}_{inner}": v for inner, v in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table whose names no spreadsheet takes for formulas."""
    table = table.copy()
    for name in (*_TEXT_COLUMNS, "name"):
        if name in table:
            table[name] = table[name].map(guarded)
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    atomic_write(path, text.encode("utf-8"))
