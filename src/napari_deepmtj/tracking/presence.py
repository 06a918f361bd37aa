"""Whether the MTJ is in view, decided by the detector and by where the tissue went.

Two states, in and out of view, as a hidden Markov chain (Rabiner, Proc IEEE 1989;77:257): a frame
follows its neighbours unless the path leads over the border of the picture, or the picture
changes altogether. What the detector says lasts over many frames, right or wrong, so each frame's
word counts as a fraction of an independent one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Probability of going out of view, or coming back, within a second of tissue that is followed
#: well inside the picture; at a cut; and along a path that crosses the border. Choices.
PER_SECOND, AT_CUT, AT_BORDER = 1e-3, 0.3, 0.5

#: The detector misses an MTJ that is in view, and sees one that is not, so often. Choices.
MISSED, IMAGINED = 0.05, 0.1

#: Confidences count no further than this, either way: a low one alone says nothing.
LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.5, 0.97

#: Frames of the detector's word that count as one, in seconds: how long its errors last. A choice.
LASTS_S = 0.4


def probability_in_view(
    said: BoolArray,
    confidence: FloatArray,
    inside: FloatArray,
    cut: BoolArray,
    interval: FloatArray,
    certain: npt.NDArray[np.int8],
) -> FloatArray:
    """Return the probability of being in view in each row, shape (n,).

    Parameters
    ----------
    said : ndarray of bool, shape (n,)
        The detector says it is in view.
    confidence : ndarray, shape (n,)
        Of the detector, 0 to 1.
    inside : ndarray, shape (n,)
        Probability that the path lies in the picture.
    cut : ndarray of bool, shape (n - 1,)
        Nothing leads from a row to the next: the picture changed.
    interval : ndarray, shape (n - 1,)
        Seconds between rows.
    certain : ndarray of int8, shape (n,)
        1 where a person says in view, -1 where out, else 0.
    """
    n = len(said)
    sure = np.clip(confidence, LEAST_CONFIDENCE, MOST_CONFIDENCE)
    when_in = np.where(said, (1 - MISSED) * sure, MISSED)
    when_out = np.where(said, IMAGINED * (1 - sure) / (1 - LEAST_CONFIDENCE), 1 - IMAGINED)
    usual = float(np.median(interval)) if n > 1 else LASTS_S
    part = min(1.0, usual / LASTS_S)
    evidence = np.stack([when_out, when_in], axis=1) ** part
    # A path beyond the border says out; one inside says nothing: a probe may be lifted.
    evidence[:, 1] *= np.maximum(inside, 1e-3)
    evidence[certain > 0, 0] = 0.0
    evidence[certain < 0, 1] = 0.0
    change = np.empty((n - 1, 2, 2))
    crossing = np.abs(np.diff(inside))
    leave = np.clip(PER_SECOND * interval + AT_CUT * cut + AT_BORDER * crossing, 0, 0.5)
    change[:, 0, 1] = change[:, 1, 0] = leave
    change[:, 0, 0] = change[:, 1, 1] = 1 - leave
    return _forward_backward(evidence, change)


def _forward_backward(evidence: FloatArray, change: FloatArray) -> FloatArray:
    """Return the posterior of the second of two states, both as likely at first."""
    n = len(evidence)
    forward, backward = np.empty((n, 2)), np.ones((n, 2))
    state = np.full(2, 0.5)
    for i in range(n):
        if i:
            state = state @ change[i - 1]
        state = state * evidence[i]
        state /= state.sum()
        forward[i] = state
    for i in range(n - 2, -1, -1):
        state = change[i] @ (evidence[i + 1] * backward[i + 1])
        backward[i] = state / state.sum()
    both = forward * backward
    posterior: FloatArray = both[:, 1] / both.sum(axis=1)
    return posterior
