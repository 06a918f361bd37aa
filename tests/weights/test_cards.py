import json
from dataclasses import replace

import pytest

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.weights.cards import WeightCard


def test_a_card_survives_json(card):
    assert WeightCard.from_json(card.to_json()) == card
    assert "\n" not in card.to_json()


def test_equal_cards_have_equal_json(card):
    turned = replace(card, made_with={"seed": 1}, figures=dict(reversed(card.figures.items())))
    assert turned.to_json() == card.to_json()


def edited(card, **changes):
    return json.dumps(json.loads(card.to_json()) | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 2}, "schema 2"),
        ({"colour": "red"}, "unknown entries: colour"),
        ({"input_height": "64"}, "input_height"),
        ({"input_height": True}, "input_height"),
        ({"input_width": 0}, "0 px"),
        ({"stretch": 1}, "stretch"),
        ({"normalisation": "zscore"}, "'zscore' is unknown"),
        ({"id": ""}, "id is empty"),
        ({"decoding": {"presence": "high"}}, "decoding presence is 'high'"),
        ({"decoding": {"presence": float("nan")}}, "decoding presence is nan"),
        ({"network_arguments": [1]}, "network_arguments"),
    ],
)
def test_a_wrong_entry_is_named(card, changes, said):
    with pytest.raises(WeightsError, match=said):
        WeightCard.from_json(edited(card, **changes))


def test_a_missing_entry_is_named(card):
    data = json.loads(card.to_json())
    del data["licence"], data["sha256"]
    with pytest.raises(WeightsError, match="lacks licence, sha256"):
        WeightCard.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "no json", "[]", "3"])
def test_no_card_at_all(text):
    with pytest.raises(WeightsError, match="not"):
        WeightCard.from_json(text)


def test_figures_must_be_json(card):
    with pytest.raises(WeightsError, match="tiny-test is not JSON"):
        replace(card, figures={"mean_mm": float("nan")}).to_json()
