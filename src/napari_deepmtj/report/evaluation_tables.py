"""An evaluation as rows of words: what the command prints and the report shows.

Nothing is computed here that `evaluation` does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_deepmtj.evaluation.bootstrap import COVERAGE, Interval
from napari_deepmtj.evaluation.comparison import Comparison
from napari_deepmtj.evaluation.literature import TABLE_III, TABLE_IV
from napari_deepmtj.evaluation.summary import Bias, SubjectSummary, Summary, summarise

#: What was measured on, as it is printed everywhere.
DATA_WORDS = {"phantom": "made-up clips (phantom)", "real": "real clips"}

#: Intervals over fewer subjects are too narrow to be relied on.
FEW_SUBJECTS = 10


@dataclass(frozen=True, slots=True)
class Table:
    """A table of words.

    Parameters
    ----------
    header : tuple of str
        One text a column; the first column names the row.
    rows : sequence of tuple of str
        As long as the header.
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def overview(comparison: Comparison) -> Table:
    """Return every method's figures, a method a column: what the command prints."""
    found = comparison.evaluations
    unit = comparison.unit
    sums = [one.summary for one in found]
    rows: list[tuple[str, ...]] = [
        ("mean error", *(f"{_number(s.mean)} {unit}{between(s.mean_interval)}" for s in sums)),
        ("SD, pooled", *(f"{_number(s.sd)} {unit}" for s in sums)),
        (
            "mean of subjects",
            *(f"{_plus_minus(s.subjects_mean, s.subjects_sd)} {unit}" for s in sums),
        ),
        ("median", *(f"{_number(s.median)} {unit}" for s in sums)),
        (
            "RMS",
            *(f"{_number(s.rms)} {unit}, {_number(s.rms_percent)} % of the diagonal" for s in sums),
        ),
        (
            "bias along, across",
            *(f"{_signed(s.along.mean)}, {_signed(s.across.mean)} {unit}" for s in sums),
        ),
    ]
    rows += [
        (
            f"within {radius:g} mm",
            *(
                f"{_number(s.within[radius], 1)} %"
                + (between(s.valid_interval, 1) if radius == 5 else "")
                for s in sums
            ),
        )
        for radius in sums[0].within
    ]
    rows += [
        ("in view but missed", *(f"{s.missed} of {s.visible} frames" for s in sums)),
        ("not in view but invented", *(f"{s.invented} of {s.hidden} frames" for s in sums)),
        ("time of 200 frames", *(f"{_number(one.seconds_per_200)} s" for one in found)),
    ]
    return Table(("", *(one.name for one in found)), rows)


def table_iv(comparison: Comparison) -> Table:
    """Return the methods as P20's Table IV has its networks, a method a row."""
    unit = comparison.unit
    header = (
        "method",
        "subjects /\nclips / frames",
        f"MAE ± SD [{unit}]\n({COVERAGE:g} % interval)",
        f"median [{unit}]",
        f"valid %, 5 mm\n({COVERAGE:g} % interval)",
        "within\n1 / 2 / 3 / 10 mm [%]",
        f"RMSE %\n({COVERAGE:g} % interval)",
        "missed of\nin view",
        "invented of\nnot in view",
    )
    return Table(header, [_row_iv(one.name, one.summary) for one in comparison.evaluations])


def by_group(comparison: Comparison) -> Table | None:
    """Return the columns of `table_iv` for each group of subjects; None for fewer than two."""
    rows = []
    for one in comparison.evaluations:
        groups = sorted({str(group) for group in one.errors["group"]})
        if len(groups) < 2:
            return None
        for group in groups:
            of_group = one.errors[one.errors["group"] == group]
            rows.append(_row_iv(f"{one.name}, {group}", summarise(of_group, comparison.unit)))
    return Table(table_iv(comparison).header, rows)


def published_iv() -> Table:
    """Return P20's Table IV as printed there."""
    return Table(
        ("network", "MAE ± SD [mm]", "valid % (5 mm)", "RMSE %"),
        [
            (
                row.name,
                f"{row.mean_mm:.2f} ± {row.sd_mm:.2f}",
                f"{row.valid_percent:.2f}",
                f"{row.rms_percent:.2f}",
            )
            for row in TABLE_IV
        ],
    )


def table_iii(comparison: Comparison) -> Table:
    """Return the methods as P20's Table III has its studies, with seconds of the same run."""
    unit = comparison.unit
    rows = []
    for one in comparison.evaluations:
        s = one.summary
        started = "the first label" if one.kind == "tracker" else "nothing"
        rows.append(
            (
                one.name,
                started,
                str(s.visible),
                f"{_plus_minus(s.mean, s.sd)} {unit}",
                f"{_number(s.median)} {unit}",
                str(s.missed),
                one.device,
                str(one.frames),
                _number(one.seconds_per_200),
            )
        )
    header = (
        "method",
        "started\nfrom",
        "labelled\nframes",
        "mean error\n± SD",
        "median",
        "lost or\nmissed",
        "device",
        "frames\ntimed",
        "s per\n200 frames",
    )
    return Table(header, rows)


def published_iii() -> Table:
    """Return P20's Table III as printed there."""
    return Table(
        (
            "study",
            "healthy / impaired",
            "movements",
            "method",
            "mean error",
            "s per 200 frames",
        ),
        [
            (
                row.study,
                f"{row.healthy} / {row.impaired}",
                row.movements,
                row.method,
                row.error,
                row.seconds_per_200,
            )
            for row in TABLE_III
        ],
    )


def paired_table(comparison: Comparison) -> Table | None:
    """Return the differences of every two methods; None for a single one."""
    rows = [
        (
            f"{found.second} − {found.first}",
            f"{found.subjects} / {found.frames}",
            str(found.both),
            f"{_signed(found.mean)} {found.unit}",
            _interval(found.interval),
            _signed(found.valid, 1),
            _interval(found.valid_interval, 1),
        )
        for found in comparison.paired()
    ]
    header = (
        "difference",
        "subjects /\nframes",
        "frames\nwith both",
        "mean difference\nof the error",
        f"{COVERAGE:g} % interval",
        "of valid %\n(points)",
        f"{COVERAGE:g} % interval",
    )
    return Table(header, rows) if rows else None


def bias_table(comparison: Comparison) -> Table:
    """Return where positions lie along and across the tendon."""
    unit = comparison.unit

    def cells(bias: Bias) -> tuple[str, ...]:
        return (
            str(bias.frames),
            f"{_signed(bias.mean)} ± {_number(bias.sd)}",
            _interval(bias.interval),
            _number(bias.mean_absolute),
        )

    columns = (
        "frames",
        f"mean ± SD [{unit}]",
        f"{COVERAGE:g} % interval",
        f"mean absolute [{unit}]",
    )
    return Table(
        (
            "method",
            *(f"along:\n{name}" for name in columns),
            *(f"across:\n{name}" for name in columns),
        ),
        [
            (one.name, *cells(one.summary.along), *cells(one.summary.across))
            for one in comparison.evaluations
        ],
    )


def subject_table(comparison: Comparison) -> Table:
    """Return what each subject's frames come to, a method a column."""
    first = comparison.evaluations[0].summary
    grouped = any(subject.group for subject in first.per_subject)
    header = ("subject", *(("group",) if grouped else ()), "clips / frames")
    header += tuple(one.name for one in comparison.evaluations)
    of_methods = [
        {subject.subject: subject for subject in one.summary.per_subject}
        for one in comparison.evaluations
    ]
    rows = []
    for subject in first.per_subject:
        cells = [_subject_cell(of_method.get(subject.subject)) for of_method in of_methods]
        group = (subject.group,) if grouped else ()
        rows.append((subject.subject, *group, f"{subject.clips} / {subject.frames}", *cells))
    return Table(header, rows)


def _subject_cell(s: SubjectSummary | None) -> str:
    if s is None:
        return "-"
    words = [_plus_minus(s.mean, s.sd), f"median {_number(s.median)}"]
    if not math.isnan(s.valid):
        words.append(f"valid {_number(s.valid, 1)} %")
    if s.missed:
        words.append(f"missed {s.missed}")
    return f"{words[0]}\n{', '.join(words[1:])}"


def remarks(comparison: Comparison) -> list[str]:
    """Return what a person must be told before the figures are used, one sentence each."""
    first = comparison.evaluations[0]
    said = []
    subjects = first.summary.subjects
    if subjects < 2:
        said.append("There is one subject only, so no interval over subjects can be given.")
    elif subjects < FEW_SUBJECTS:
        said.append(
            f"There are {subjects} subjects: intervals over so few are too narrow to be relied on."
        )
    if comparison.unit == "px":
        said.append(
            "Not every clip has a scale, so all lengths are in pixels and no share within mm can "
            "be given; calibrate the clips."
        )
    said += [
        f"{one.name} learned from {one.known} of these {len(comparison.clips)} clips, or was "
        "chosen on them: its figures are no test."
        for one in comparison.evaluations
        if one.known
    ]
    errors = first.errors
    without = errors[errors["distal"] == ""][["subject", "clip", "clip_sha256"]].drop_duplicates()
    clips = len(comparison.clips)
    if len(without):
        said.append(
            f"Of {len(without)} of {clips} clips nobody said which side is distal, so the signed "
            "bias along the tendon leaves them out."
        )
    still = errors[errors["axis_from"] == "horizontal"][["subject", "clip", "clip_sha256"]]
    if level := len(still.drop_duplicates()):
        said.append(
            f"In {level} of {clips} clips the labels move too little to say how the tendon runs: "
            "along it is the picture's horizontal there."
        )
    if comparison.labelled_only and any(o.kind == "network" for o in comparison.evaluations):
        said.append(
            "Networks looked at the labelled frames only; their time includes leaping to these, "
            "and does not compare with that of a whole clip."
        )
    return said


def between(interval: Interval, digits: int = 2) -> str:
    """Return an interval in words, nothing where there are too few subjects for one."""
    if math.isnan(interval.low):
        return ""
    return (
        f" ({interval.low:.{digits}f} to {interval.high:.{digits}f}, {COVERAGE:g} % over subjects)"
    )


def _row_iv(name: str, s: Summary) -> tuple[str, ...]:
    shares = [s.within.get(radius, math.nan) for radius in (1.0, 2.0, 3.0, 10.0)]
    return (
        name,
        f"{s.subjects} / {s.clips} / {s.visible + s.hidden}",
        f"{_plus_minus(s.mean, s.sd)}\n({_interval(s.mean_interval)})",
        _number(s.median),
        f"{_number(s.valid)}\n({_interval(s.valid_interval, 1)})",
        " / ".join(_number(share, 1) for share in shares),
        f"{_number(s.rms_percent)}\n({_interval(s.rms_percent_interval)})",
        f"{s.missed} of {s.visible}",
        f"{s.invented} of {s.hidden}",
    )


def _number(value: float, digits: int = 2) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _signed(value: float, digits: int = 2) -> str:
    return "-" if math.isnan(value) else f"{value:+.{digits}f}".replace("-", "−")


def _plus_minus(mean: float, sd: float) -> str:
    return _number(mean) if math.isnan(sd) else f"{_number(mean)} ± {_number(sd)}"


def _interval(interval: Interval, digits: int = 2) -> str:
    if math.isnan(interval.low):
        return "-"
    text = f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"
    return text.replace("-", "−")
