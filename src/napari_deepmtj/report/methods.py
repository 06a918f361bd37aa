"""A methods section from the log of results: what was done, with every parameter and its source.

Text and Markdown only. It says what the log says; what the log does not know it leaves to the
authors of the study, in a list at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from napari_deepmtj.core.provenance import Operation, Provenance
from napari_deepmtj.errors import ResultError
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import find_models

#: What is cited, by key.
REFERENCES = {
    "P20": "Leitner C, Jarolim R, Konrad A, Kruse A, Tilp M, Schröttner J, Baumgartner C. "
    "Automatic tracking of the muscle tendon junction in healthy and impaired subjects using deep "
    "learning. IEEE EMBC 2020. doi:10.1109/EMBC44109.2020.9176145",
    "P21": "Leitner C et al. A human-centered machine-learning approach for muscle-tendon "
    "junction tracking in ultrasound images. IEEE Trans Biomed Eng 2022;69(6). "
    "doi:10.1109/TBME.2021.3130548",
    "RTS65": "Rauch HE, Tung F, Striebel CT. Maximum likelihood estimates of linear dynamic "
    "systems. AIAA J 1965;3:1445-1450",
    "SG64": "Savitzky A, Golay MJE. Smoothing and differentiation of data by simplified least "
    "squares procedures. Anal Chem 1964;36:1627-1639",
    "P05": "Pearson RK. Mining Imperfect Data. SIAM 2005",
    "W09": "Winter DA. Biomechanics and Motor Control of Human Movement, 4th ed. Wiley 2009",
    "BO00": "Bouguet J-Y. Pyramidal implementation of the Lucas Kanade feature tracker. Intel 2000",
}

#: What smoothing is called, and what is cited for it.
SMOOTHING = {
    "kalman": ("a Kalman filter and Rauch-Tung-Striebel smoother over true frame times", "RTS65"),
    "butterworth": ("a zero-lag Butterworth low-pass filter", "W09"),
    "savitzky-golay": ("a Savitzky-Golay filter on true frame times", "SG64"),
    "hampel": ("a Hampel filter", "P05"),
    "authors": ("the filter chain of the method's authors", "P20"),
    "fill": ("interpolation of gaps, measured positions unchanged", ""),
}

#: Arguments of an operation that are results or told elsewhere, not parameters.
_NO_PARAMETERS = frozenset(
    {"filled", "flagged", "stretches", "notices", "time_unit"}
    | {"cuts", "cut_frames", "out_of_view", "carried", "outlying", "lost"}
    | {"frame", "anchors", "rows", "slip_px", "most_mm", "disagreement_mm"}
)

#: Each of these begins with the raw positions, so that what another made of them is gone.
_FROM_RAW = ("smooth", "unsmooth", "fuse")

Say = Callable[[Provenance], Iterator[str]]


def methods_text(provenances: Sequence[Provenance]) -> str:
    """Return the methods of one or many results, as Markdown.

    Parameters
    ----------
    provenances : sequence of Provenance
        Logs of the results. What is not the same in all is said with the number of clips.

    Raises
    ------
    ResultError
        If there is none.
    """
    if not provenances:
        raise ResultError("there is no result to describe")
    cited: dict[str, None] = {"P20": None, "P21": None}
    paragraphs = [
        "\n".join(filter(None, (_section(provenances, say) for say in group)))
        for group in ((_software, _model), (_picture, _scale, _times), (_confidence,), (_after,))
    ]
    for provenance in provenances:
        cited |= dict.fromkeys(_cited(provenance))
    references = [f"- {key}: {REFERENCES[key]}" for key in cited]
    parts = ["# Methods", *filter(None, paragraphs), "## To be added by the authors"]
    parts += ["\n".join(f"- {line}" for line in _TO_ADD), "## References", "\n".join(references)]
    return "\n\n".join(parts) + "\n"


_TO_ADD = (
    "device, probe, its frequency and depth; where the probe was placed and how it was fixed",
    "subjects, movements, and who corrected the positions",
    "accuracy of the model on images of this study, against labels made by hand "
    "(`napari-deepmtj evaluate`); the figures in its card are of other images",
)


def _section(provenances: Sequence[Provenance], say: Say) -> str:
    """Return what a section says of all results, each sentence once."""
    counts = Counter(sentence for p in provenances for sentence in dict.fromkeys(say(p)))
    n = len(provenances)
    return "\n".join(
        sentence if count == n else f"{sentence} (This holds for {count} of {n} clips.)"
        for sentence, count in counts.items()
    )


def _runs(provenance: Provenance) -> list[Operation]:
    return [op for op in provenance.operations if op.name == "track"]


def _software(said: Provenance) -> Iterator[str]:
    for run in _runs(said):
        backend = run.arguments.get("backend", {})
        runtimes = {name: backend[name] for name in ("torch", "onnxruntime") if name in backend}
        libraries = {**run.arguments.get("libraries", {}), **runtimes}
        versions = ", ".join(f"{k} {v}" for k, v in libraries.items())
        where = run.arguments.get("device", "?")
        yield (
            "The muscle-tendon junction (MTJ) was located in each frame with "
            f"{run.software} ({versions}; computed on {where}), which "
            "follows the method of Leitner et al. [P20, P21]."
        )


def _model(said: Provenance) -> Iterator[str]:
    for run in _runs(said):
        model = run.arguments.get("model", {})
        name = f"{model.get('id', '?')}, version {model.get('version', '?')}"
        sha256 = str(model.get("sha256", ""))
        yield (
            f"The network was {name} (weights' SHA-256 {sha256}, {model.get('licence', '?')}; "
            f"read with {_parameters(run.arguments.get('decoding', {}))})."
        )
        card = card_of(sha256)
        if card is None:
            yield (
                "The card of these weights is not at hand; state what they were trained on and "
                "which point was labelled as the MTJ."
            )
            continue
        yield (
            f"It was trained on: {card.trained_on.rstrip('.')}. "
            f"Label: {card.label_definition.rstrip('.')}."
        )
        if "phantom" in card.trained_on.lower():
            yield (
                "Images of a junction among these were made up, by a simulation (phantom) or out "
                "of real muscle (composites); the accuracy on images of patients is not known "
                "from them."
            )


def card_of(sha256: str) -> WeightCard | None:
    """Return the card of weights that are installed here, found by their hash."""
    return next((m.card for m in find_models()[0] if m.card.sha256 == sha256 and sha256), None)


def _picture(said: Provenance) -> Iterator[str]:
    for run in _runs(said):
        asked = run.arguments
        placed, roi = asked.get("pixel_map", {}), asked.get("roi", {})
        yield (
            f"The region x,y,width,height = {roi.get('x_y_width_height', '?')} px (source: "
            f"{roi.get('source', '?')}) of frames of {said.width} x {said.height} px was scaled to "
            f"{placed.get('content_width', '?')} x {placed.get('content_height', '?')} px within "
            f"the network's input of {placed.get('out_width', '?')} x "
            f"{placed.get('out_height', '?')} px; grey levels were normalised "
            f"({asked.get('normalisation', '?')})."
        )


def _scale(said: Provenance) -> Iterator[str]:
    scale = said.scale
    if scale is None:
        yield "No scale was known; positions are in pixels."
        return
    yield (
        f"Pixels were converted with {scale.x_mm:.6g} x {scale.y_mm:.6g} mm/px (source: "
        f"{scale.source})."
    )
    if any(op.name == "scale changed" for op in said.operations):
        yield "The scale was changed after tracking, and millimetres were computed anew."


def _times(said: Provenance) -> Iterator[str]:
    if said.times_source == "none":
        yield "The clips have no frame times; frames count as evenly spaced."
    else:
        yield f"Frame times are those of the file (source: {said.times_source})."


def _confidence(said: Provenance) -> Iterator[str]:
    for tolerance in said.tolerances:
        yield (
            "The confidence of a position is the estimated probability that it lies within "
            f"{tolerance.definition} of the label."
        )


def _after(said: Provenance) -> Iterator[str]:
    corrected = {op.arguments["frame"] for op in said.operations if op.name == "correct"}
    if corrected:
        yield f"Positions of {len(corrected)} frames were set or corrected by hand."
    else:
        yield "No position was corrected by hand."
    yield from _refilled(said)
    last = _in_force(said)
    for name, tell in _TOLD.items():
        if name in last:
            yield tell(last[name].arguments)
    if not last.keys() & {"smooth", "fuse"}:
        yield "Positions were not smoothed."


def _refilled(said: Provenance) -> Iterator[str]:
    """Say between which corrections the tissue was followed."""
    runs = [op.arguments for op in said.operations if op.name == "refill"]
    if runs:
        frames = {run["frame"] for run in runs}
        yield (
            f"From {len(frames)} of these frames the tissue was followed to the next anchor and "
            f"back by optical flow{_flow_cited(runs[-1])}, which gave the positions between "
            f"({_parameters(runs[-1])})."
        )


def _in_force(said: Provenance) -> dict[str, Operation]:
    """Return the last operation of each kind that counts.

    Smoothing and fusing start from raw positions, and tracking again makes new ones.
    """
    last: dict[str, Operation] = {}
    for op in said.operations:
        if op.name == "track":
            last.clear()
        if op.name in _FROM_RAW:
            for name in _FROM_RAW:
                last.pop(name, None)
        last[op.name] = op
    return last


def _gate(said: Mapping[str, Any]) -> str:
    return f"Positions were checked and flagged, none changed ({_parameters(said)})."


def _smooth(said: Mapping[str, Any]) -> str:
    how, key = SMOOTHING.get(str(said.get("method")), (str(said.get("method")), ""))
    cite = f" [{key}]" if key else ""
    given = {k: v for k, v in said.items() if k != "method"}
    parameters = _parameters(given, none="estimated from the clip")
    return f"Positions were smoothed by {how}{cite} ({parameters})."


def _fuse(said: Mapping[str, Any]) -> str:
    return (
        "Positions of the network were fused with the tissue's motion between frames, found by "
        f"optical flow{_flow_cited(said)} ({_parameters(said)})."
    )


def _flow_cited(said: Mapping[str, Any]) -> str:
    return " [BO00]" if said.get("method") == "LucasKanade" else ""


def _slip(said: Mapping[str, Any]) -> str:
    return (
        "The slip of the probe was estimated by optical flow [BO00] of skin and deep fascia, and "
        f"frames in which it was large were flagged ({_parameters(said)})."
    )


def _subtracted(said: Mapping[str, Any]) -> str:
    return f"The slip of the probe was subtracted from all positions ({_parameters(said)})."


#: What is told of an operation, in the order in which it is told.
_TOLD: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "fuse": _fuse,
    "estimate slip": _slip,
    "subtract slip": _subtracted,
    "gate": _gate,
    "smooth": _smooth,
}


def _parameters(said: Mapping[str, Any], none: str = "off") -> str:
    """Return every parameter by its name: "order = 4, max_gap = 0.2 s"."""
    return ", ".join(
        f"{name} = {_value(value, none)}"
        for name, value in said.items()
        if name not in _NO_PARAMETERS
    )


def _value(value: Any, none: str) -> str:
    if value is None:
        return none
    if isinstance(value, Mapping):
        return f"({_parameters(value, none)})"
    if isinstance(value, list | tuple):
        return " and ".join(_value(v, none) for v in value) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cited(said: Provenance) -> Iterator[str]:
    last = _in_force(said)
    if "smooth" in last:
        _, key = SMOOTHING.get(str(last["smooth"].arguments.get("method")), ("", ""))
        yield from filter(None, (key,))
    flows = [op for op in said.operations if op.name == "refill"]
    flows += [last["fuse"]] if "fuse" in last else []
    by_lucas_kanade = any(op.arguments.get("method") == "LucasKanade" for op in flows)
    if by_lucas_kanade or "estimate slip" in last:
        yield "BO00"
