"""Which frame a label would teach most about: unsure of it, and unlike what is labelled.

The rule: usefulness = (1 - confidence) x distance, the distance being the Euclidean one between
the frame's thumbnail and that of the labelled frame most like it; 1 where nothing is labelled.
"""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.annotation.queue import Item
from napari_deepmtj.annotation.selection import LOOKED_AT, spread
from napari_deepmtj.annotation.thumbnails import thumbnail
from napari_deepmtj.core.jobs import Done, Progress
from napari_deepmtj.core.trajectory import BY_HAND
from napari_deepmtj.errors import LabelError

if TYPE_CHECKING:
    from napari_deepmtj.annotation.session import AnnotationSession

FloatArray = npt.NDArray[np.float64]

#: (clip_sha256, frame) -> thumbnail, of frames that were looked at before.
Looks = MutableMapping[tuple[str, int], FloatArray]


def usefulness(
    confidence: npt.ArrayLike, features: FloatArray, labelled: FloatArray | None
) -> FloatArray:
    """Return how useful a label of each frame would be, shape (n,).

    Parameters
    ----------
    confidence : array-like, shape (n,)
        Of the prediction, 0..1; NaN (unknown) counts as 0.
    features : ndarray, shape (n, d)
        Thumbnails of the frames.
    labelled : ndarray, shape (m, d), or None
        Thumbnails of the frames that are labelled.
    """
    doubt = 1.0 - np.nan_to_num(np.asarray(confidence, dtype=np.float64), nan=0.0)
    if labelled is None or not len(labelled):
        return doubt
    from scipy.spatial.distance import cdist

    apart: FloatArray = cdist(features, labelled).min(axis=1)
    return doubt * apart


def next_most_useful(session: AnnotationSession, looks: Looks) -> Generator[Progress | Done[Item]]:
    """Find the frame to label next, among the predicted ones of all clips that are open.

    Of each clip `LOOKED_AT` frames are considered, evenly spread over those that were predicted,
    not labelled in this round and not made by a person.

    Parameters
    ----------
    session : AnnotationSession
        Its labels and predictions are taken as of now; the job may run in another thread.
    looks : mutable mapping
        Thumbnails that are known; those that were missing are added.

    Returns
    -------
    generator of Progress, in frames, and Done with the frame

    Raises
    ------
    LabelError
        If there is nothing predicted left to label.
    """
    clips = {sha256: source for sha256, source in session.clips.items() if source.complete}
    labelled = [(sha256, label.frame) for sha256 in clips for label in session.labels_of(sha256)]
    taken = set(labelled)
    confidence: dict[tuple[str, int], float] = {}
    for sha256 in [] if session.blind else clips:
        proposed = session.predictions.get(sha256, {})
        frames = sorted(
            frame
            for frame, proposal in proposed.items()
            if (sha256, frame) not in taken and proposal.origin not in BY_HAND
        )
        for frame in spread(np.array(frames, dtype=np.int64), LOOKED_AT).tolist():
            sure = proposed[frame].confidence
            confidence[sha256, frame] = float("nan") if sure is None else sure
    if not confidence:
        raise LabelError(
            "no predicted frame is left to label; predict first, or open a clip that was tracked"
        )

    def find() -> Generator[Progress | Done[Item]]:
        wanted = sorted(key for key in {*labelled, *confidence} if key not in looks)
        for done, (sha256, frame) in enumerate(wanted):
            yield Progress(done, len(wanted))
            source = clips[sha256]
            looks[sha256, frame] = thumbnail(source.read(frame), source.roi)
        keys = list(confidence)
        known = np.array([looks[key] for key in labelled]) if labelled else None
        found = usefulness(list(confidence.values()), np.array([looks[k] for k in keys]), known)
        sha256, frame = keys[int(found.argmax())]
        yield Done(Item(sha256, clips[sha256].name, frame))

    return find()
