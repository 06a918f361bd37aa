"""The card that travels inside every weights file: what the network is and how well it does.

Plain data and JSON only; files are `weights.store`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, get_origin, get_type_hints

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.networks.maps import MapNames, maps_of

#: Version of the card's JSON.
SCHEMA = 1

#: Names that `inference.preprocess.normalise` knows.
NORMALISATIONS = ("minus-one-one", "standardise")

#: Digits of the hash of a recording by which cards name those that were learned from.
RECORDING = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCard:
    """What is known about one set of weights.

    Parameters
    ----------
    id : str
        Name to ask for it by, "compact".
    version : str
        Version of the weights, not of the program.
    licence : str
        SPDX identifier of the weights' licence.
    network : str
        Name for `networks.build.build`.
    network_arguments : mapping
        Its keyword arguments.
    input_height, input_width : int
        Size of the network's input in pixels.
    normalisation : str
        How grey levels become the input; one of `NORMALISATIONS`.
    stretch : bool
        Whether the region is stretched to the input whatever its aspect, as the published
        networks were trained, instead of padded.
    trained_on : str
        The training data, in a sentence.
    label_definition : str
        What point was labelled as the MTJ, in a sentence.
    decoding : mapping of str to float
        Settings of `inference.decode.decode` (thresholds, confidence calibration).
    figures : mapping
        Measured accuracy, each with what it was measured on.
    made_with : mapping
        Program versions, seed, recipe: what is needed to make the weights again.
    sha256 : str
        Hash of the tensors, filled in by `weights.store.save_model`.
    graph_sha256 : str
        Hash of the ONNX graph, filled in by `weights.store.save_model`; empty without one.
    created : str
        ISO 8601 time, UTC, filled in by `weights.store.save_model`.
    """

    id: str
    version: str
    licence: str
    network: str
    network_arguments: Mapping[str, Any] = field(default_factory=dict)
    input_height: int
    input_width: int
    normalisation: str
    stretch: bool = False
    trained_on: str
    label_definition: str
    decoding: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    made_with: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    graph_sha256: str = ""
    created: str = ""

    def __post_init__(self) -> None:
        for name, kind in _FIELD_KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise WeightsError(
                    f"the model card's {name} is {value!r}, which is no {kind.__name__.lower()}"
                )
        for name in ("id", "licence", "network"):
            if not getattr(self, name):
                raise WeightsError(f"the model card's {name} is empty")
        if self.input_height < 1 or self.input_width < 1:
            raise WeightsError(
                f"the model card asks for an input of {self.input_height} x {self.input_width} px"
            )
        if self.normalisation not in NORMALISATIONS:
            raise WeightsError(
                f"the model card's normalisation {self.normalisation!r} is unknown to this "
                f"version, which knows {', '.join(NORMALISATIONS)}"
            )
        for key, number in self.decoding.items():
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise WeightsError(f"the model card's decoding {key} is {number!r}, not a number")
            if not math.isfinite(number):
                raise WeightsError(f"the model card's decoding {key} is {number}")

    @property
    def attention(self) -> MapNames:
        """The attention maps that the network gives; told by its name, so not in the JSON."""
        return maps_of(self.network, self.network_arguments)

    @property
    def recordings(self) -> frozenset[str]:
        """Beginnings of the hashes of the clips that it learned from or was chosen on.

        Empty where the card does not name them; `RECORDING` digits each.
        """
        keys = ("split", "started_from", "confidence_fitted_on")
        split, *others = (self.made_with.get(key) for key in keys)
        sides = [split.get(name) for name in ("training", "validation")] if split else []
        named = (part.get("recordings", ()) for part in (*sides, *others) if part)
        return frozenset(recording for part in named for recording in part)

    def to_json(self, indent: int | None = None) -> str:
        """Return the card as JSON, keys sorted; one line unless indented.

        Raises
        ------
        WeightsError
            If a value is not JSON (NaN included).
        """
        plain = {"schema": SCHEMA} | {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in asdict(self).items()
        }
        try:
            return json.dumps(
                plain, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=indent
            )
        except (TypeError, ValueError) as error:
            raise WeightsError(f"the model card of {self.id} is not JSON: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; nothing may be missing, unknown or of another type.

        Raises
        ------
        WeightsError
            Saying which entry is wrong.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise WeightsError(f"the model card is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise WeightsError("the model card is not a JSON object")
        schema = data.pop("schema", None)
        if schema != SCHEMA:
            raise WeightsError(
                f"the model card has schema {schema!r}, this version reads {SCHEMA}; "
                "update napari-deepmtj"
            )
        data.setdefault("graph_sha256", "")  # files of before there were graphs
        names = {f.name for f in fields(cls)}
        if missing := sorted(names - data.keys()):
            raise WeightsError(f"the model card lacks {', '.join(missing)}")
        if unknown := sorted(data.keys() - names):
            raise WeightsError(f"the model card has unknown entries: {', '.join(unknown)}")
        return cls(**data)


_FIELD_KINDS: dict[str, type] = {
    name: get_origin(hint) or hint for name, hint in get_type_hints(WeightCard).items()
}
