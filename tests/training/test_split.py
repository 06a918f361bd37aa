"""No subject on two sides; the published exception says so."""

from __future__ import annotations

import pytest

from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.training.split import PAPER, Split, SplitRule


def made(name: str, subject: str, seed: int) -> LabelledClip:
    """Return a labelled clip that is on no disk."""
    labels = (
        Label(clip=name, clip_sha256=f"{seed:064d}", frame=0, x_px=1.0, y_px=2.0, annotator="A"),
    )

    def cannot_open() -> None:
        raise AssertionError("a split opens no clip")

    return LabelledClip(name, labels[0].clip_sha256, subject, labels, cannot_open)  # type: ignore[arg-type]


def clips(subjects: int, each: int) -> list:
    return [
        made(f"{s:02d}-{k}.avi", f"S{s:02d}", 100 * s + k)
        for s in range(subjects)
        for k in range(each)
    ]


def test_by_subject_keeps_subjects_apart_and_loses_none() -> None:
    given = clips(10, 3)
    split = SplitRule("subject", 0.2, 0.1, seed=4)(given)
    assert [len(split.subjects(side)) for side in split.sides] == [7, 2, 1]
    assert sorted(c.name for side in split.sides.values() for c in side) == [c.name for c in given]
    assert split.notices == ()


def test_split_is_the_seeds_alone() -> None:
    given = clips(10, 2)
    one, other = SplitRule(seed=1)(given), SplitRule(seed=1)(given[::-1])
    assert one.subjects("validation") == other.subjects("validation")
    assert any(
        SplitRule(seed=seed)(given).subjects("validation") != one.subjects("validation")
        for seed in range(2, 8)
    )


def test_paper_split_shares_subjects_of_the_validation_only_and_says_so() -> None:
    given = clips(107, 10)
    split = PAPER(given)
    assert len(split.subjects("test")) == 12
    rest = len(given) - len(split.test)
    assert len(split.validation) == round(0.1 * rest)
    assert not split.subjects("test") & (split.subjects("training") | split.subjects("validation"))
    assert split.subjects("training") & split.subjects("validation")
    assert "validation shares subjects" in split.notices[0]


@pytest.mark.parametrize(
    ("rule", "subjects", "message"),
    [
        (SplitRule(), 1, r"of 1 subject \(S00\), and 2 are needed"),
        (SplitRule(test=0.2), 2, r"of 2 subjects \(S.., S..\), and 3 are needed"),
        (PAPER, 1, "and 2 are needed"),
        (SplitRule("clip", test=0.2), 3, "kept apart by subject"),
    ],
)
def test_too_few_subjects_are_refused(rule: SplitRule, subjects: int, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        rule(clips(subjects, 4))


def test_by_clip_is_a_choice_that_is_told() -> None:
    split = SplitRule("clip", 0.25)(clips(1, 4))
    assert (len(split.training), len(split.validation)) == (3, 1)
    assert split.notices
    with pytest.raises(LabelError, match="one labelled clip"):
        SplitRule("clip")(clips(1, 1))


def test_sides_that_overlap_are_refused() -> None:
    a, b, c = clips(3, 1)
    other_of_a = made("other.avi", a.subject, 999)
    with pytest.raises(LabelError, match="S00 is in training and in validation"):
        Split((a,), (other_of_a,), (), "by hand")
    with pytest.raises(LabelError, match="S00 is in training and in test"):
        Split((a,), (b,), (other_of_a,), "by hand", shares_subjects=True)
    with pytest.raises(LabelError, match="a recording has one side"):
        Split((a, c), (b, c), (), "by hand", shares_subjects=True)
    with pytest.raises(LabelError, match="no clip is left for validation"):
        Split((a,), (), (), "by hand")


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(LabelError, match="nothing to learn from"):
        SplitRule(validation=0.6, test=0.5)
    with pytest.raises(LabelError, match="unknown"):
        SplitRule("person")  # type: ignore[arg-type]


def test_another_rule_keeps_the_shares_that_fit() -> None:
    own = SplitRule("paper", 0.1, 0.2, seed=7)
    assert own.keeping_apart(None) is own
    assert own.keeping_apart("paper") is own
    assert own.keeping_apart("subject") == SplitRule("subject", 0.1, 0.2, seed=7)
    assert own.keeping_apart("clip") == SplitRule("clip", 0.1, 0.0, seed=7)
    assert SplitRule("subject").keeping_apart("paper") == PAPER


def test_folders_that_may_be_of_one_person_are_told() -> None:
    rest, mvc = made("a.avi", "S01/rest", 1), made("b.avi", "S01/mvc", 2)
    other = made("c.avi", "S02/rest", 3)
    (told,) = Split((rest, other), (mvc,), (), "by hand").doubts
    assert told.startswith(
        "S01/rest and S01/mvc count as subjects of their own, on training and validation"
    )
    assert Split((rest, mvc), (other,), (), "by hand").doubts == ()
    plain = [made(f"{n}.avi", f"S{n}", n) for n in (4, 5)]
    assert Split((plain[0],), (plain[1],), (), "by hand").doubts == ()
