"""Video containers through PyAV: frame-exact, exact grey, true times, several threads.

The table of frames is in `index.py`, the decoder that obeys it in `decoder.py`; the table is made
by `scan.py`, in a thread if that takes long (`background.py`). Grey is `video/grey.py`.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Generator
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.streams import FilePart
from napari_deepmtj.video.display import AS_STORED
from napari_deepmtj.video.ffmpeg.background import Indexing
from napari_deepmtj.video.ffmpeg.container import AV_ERRORS
from napari_deepmtj.video.ffmpeg.decoder import Decoder, DisprovedError
from napari_deepmtj.video.ffmpeg.header import glance
from napari_deepmtj.video.ffmpeg.index import FrameIndex
from napari_deepmtj.video.ffmpeg.scan import Found, GivenTimes
from napari_deepmtj.video.grey import ColourRange, Levels, coloured, grey_of, luma_table
from napari_deepmtj.video.source import BaseSource, reason
from napari_deepmtj.video.stamp import require_unchanged

UInt8Array = npt.NDArray[np.uint8]

#: Memory for decoded frames, so that stepping backwards does not decode a whole group of
#: pictures each time.
CACHE_BYTES = 200 * 10**6

#: Where keyframes are further apart than this, frames on the way to the one that is read are
#: decoded several at a time. Elsewhere that would decode more than is needed.
SPARSE_KEYS = 8
#: So many at a time at most.
THREADS = 8

#: Frames forward beyond which those in between are not wanted.
LEAP = 4

#: A clip that claims more frames than this may be given out before all of them are listed,
#: after so many seconds; a shorter one is waited for, on a busy machine too.
SHORT_CLIP, PATIENCE = 2000, 0.3
#: Seconds that a short clip is waited for.
SHORT_PATIENCE = 1.5


class _Kept(NamedTuple):
    """A frame in the cache: its grey levels, or its luma, of limited range, to be stretched."""

    grey: UInt8Array
    stretch: bool = False


class AvSource(BaseSource):
    """A video file, read frame-exactly.

    `read` is safe from several threads: they share one decoder behind a lock, and a bounded
    cache. Every `frames` has a container of its own and disturbs nobody.

    Parameters
    ----------
    path : Path or FilePart
        The file.
    container_format : str
        FFmpeg's name of the container, from the file's content.
    colour_range : {"full", "limited"}, optional
        Overrides what the file says of its luma.
    times : callable, optional
        Given the number of frames, returns their times where they are known from elsewhere.
    background : bool
        A long file may be provisional at first (`complete` is false): its frames are then
        listed in a thread, number and times are those that the file claims, and what is read
        waits until it is listed.
    """

    def __init__(
        self,
        path: Path | FilePart,
        container_format: str,
        colour_range: ColourRange | None = None,
        *,
        times: GivenTimes | None = None,
        background: bool = False,
    ) -> None:
        seen = glance(path, container_format)
        self._path = path
        self._format = container_format
        self._stamp = seen.stamp
        first, self._display = seen.first, seen.display
        levels = Levels.of(first, colour_range, monochrome=seen.monochrome)
        self._override = levels.forced
        self._stored = (first.height, first.width)
        doubts = [] if levels.doubt is None else [f"{path.name} {levels.doubt}"]
        facts = seen.facts | {
            "pixel_format": first.format.name,
            "colour_range": levels.colour_range,
            "colour_range_from": levels.said_by,
            "coloured": coloured(first),
            **seen.display.facts,
        }
        self._lock, self._proving = Lock(), Lock()
        self._cache: OrderedDict[int, _Kept] = OrderedDict()
        self._capacity = max(2, CACHE_BYTES // (first.height * first.width))
        # Stretching the luma takes as long as decoding: it is done for the frames that are read.
        self._kind = (first.format.name, int(first.color_range))
        eight_bit = first.format.components[0].bits == 8
        self._stretched = eight_bit and facts["colour_range"] == "limited"
        self._decoder = Decoder(path, container_format, FrameIndex.empty(), stamp=seen.stamp)
        self._last = 0
        self._found: Found | None = None
        self._claim: int | None = None
        super().__init__(
            path.name,
            path.path if isinstance(path, FilePart) else path,
            *seen.display.orientation.size(*self._stored),
            seen.claim(),
            metadata=facts,
            notices=(*seen.notices, *seen.display.notices(path.name), *doubts),
        )
        self._indexing = Indexing(seen, times)
        if background:
            self._cache[0] = _Kept(self._grey(0, first, None))
            self._list_behind(PATIENCE if self.n_frames > SHORT_CLIP else SHORT_PATIENCE)
        else:
            self._indexing.run(self._adopt)
            self._indexing.wait()

    def _list_behind(self, patience: float) -> None:
        """List the frames in a thread that does not keep this source alive, and ends with it."""
        adopt = weakref.WeakMethod(self._adopt)

        def on_found(found: Found) -> None:
            if (alive := adopt()) is not None:
                alive(found)

        weakref.finalize(self, self._indexing.stop)
        self._indexing.start(on_found)
        try:
            if not self._indexing.wait(seconds=patience):
                self._claim = self.n_frames  # from here on somebody may have seen it
        except VideoError:
            self.close()
            raise

    def _adopt(self, found: Found) -> None:
        """Take over the table that was found: from here on the clip is complete."""
        with self._lock:
            self._obey(found.index)
            self.times = found.times
            kind = "decoded in order" if found.index.proved else "timestamps"
            self.metadata = {**self.metadata, "frame_index": kind}
            self.promised = found.promised
            self._mark_unreadable(found.index.unreadable, "damaged in the file")
            self.say(*found.notices)
            n = len(found.index)
            if self._claim not in (None, n):
                self.say(f"{self.name} claimed {self._claim} frames, but has {n}; these are used")
            self._found = found  # last: who sees that the clip is complete sees all of this

    def _obey(self, index: FrameIndex) -> None:
        """Let the decoder obey another table; what it has decoded by the old one may stay."""
        old = self._decoder.index
        if index.proved or not index.begins_like(old):
            self._decoder.close()
            self._cache.clear()
        self._decoder.index = index
        if len(index) > SPARSE_KEYS * len(index.key_frames):
            self._decoder.threads = min(THREADS, os.cpu_count() or 1)

    @property
    def complete(self) -> bool:
        """Whether all frames are listed: number and times are final."""
        return self._found is not None

    @property
    def settled(self) -> int:
        """Number of frames, from the first on, that can be read without waiting."""
        if self.complete:
            return self.n_frames
        return min(self.n_frames, max(1, len(self._indexing.part)))

    def wait(self, progress: Callable[[float], None] | None = None) -> None:
        """Wait until all frames are listed.

        Parameters
        ----------
        progress : callable, optional
            Given how much of the work is done, 0 to 1, a few times a second.

        Raises
        ------
        VideoError
            If that fails, or the clip is closed.
        """
        while not self._indexing.wait(seconds=None if progress is None else 0.2):
            if progress is not None:
                progress(self._indexing.fraction)
        super().wait(progress)

    @property
    def listed(self) -> float:
        """How much of the listing is done, 0 to 1."""
        return self._indexing.fraction

    def when_complete(self, callback: Callable[[], None]) -> None:
        """Call back once when the listing has ended, from its thread; at once if it has.

        Where it failed, or the clip was closed, `wait` says why.
        """
        self._indexing.when_ended(callback)

    def numbered(
        self, start: int = 0, stop: int | None = None, step: int = 1, roi: Roi | None = None
    ) -> Generator[tuple[int, UInt8Array | None]]:
        """Iterate over frames in order, once all are listed; see `BaseSource.numbered`."""
        self._require_open()
        self.wait()
        return super().numbered(start, stop, step, roi)

    def close(self) -> None:
        """End the listing, close the shared decoder and empty the cache."""
        self._indexing.stop()
        with self._lock:
            super().close()
            self._decoder.close()
            self._cache.clear()

    def _hash(self) -> str:
        digest = super()._hash()
        require_unchanged(self._path, self._stamp)
        return digest

    def _read(self, frame: int) -> UInt8Array:
        if not self.complete and frame >= self.settled:
            self._indexing.wait(frame)
        try:
            return self._cached(frame)
        except DisprovedError:
            self._prove()
        return self._cached(frame)

    def _cached(self, frame: int) -> UInt8Array:
        """Return a frame from the cache, or decode it."""
        with self._lock:
            self._require_open()
            self._require(frame)  # the claim may have been too high
            if not self.complete and self._decoder.index is not self._indexing.part:
                self._obey(self._indexing.part)
            if frame not in self._cache:
                self._decode_to(frame)
            kept = self._cache[frame]
            if kept.stretch:
                kept = self._cache[frame] = _Kept(np.take(luma_table("limited"), kept.grey))
            self._cache.move_to_end(frame)
            return kept.grey

    def _prove(self) -> None:
        """Decode the whole file in order, where its timestamps turned out to be wrong."""
        self._indexing.wait()
        with self._proving:
            if self._found is not None and not self._found.index.proved:
                self._claim = self.n_frames
                self._adopt(self._indexing.prove())

    def _decode_to(self, frame: int) -> None:
        """Put a frame, and those on the way to it, into the cache."""
        decoder = self._decoder
        # Somebody who goes on by leaps wants no frame in between; who goes back wants them all.
        skim = decoder.threads > 1 and frame > self._last + LEAP
        self._last = frame
        for number, picture in decoder.advance(frame, skim=skim):
            on_the_way = number != frame
            if on_the_way and (
                frame - number >= self._capacity or (picture.height, picture.width) != self._stored
            ):
                continue
            self._cache[number] = self._keep(number, picture)
            self._cache.move_to_end(number)
            if len(self._cache) > self._capacity:
                self._cache.popitem(last=False)

    def _keep(self, number: int, picture: av.VideoFrame) -> _Kept:
        """Return what is kept of a picture: its luma; its grey where that is something else."""
        if self._stretched and (picture.format.name, int(picture.color_range)) == self._kind:
            return _Kept(self._grey(number, picture, None, "full"), stretch=True)
        return _Kept(self._grey(number, picture, None))

    def _numbered(
        self, numbers: range, roi: Roi | None
    ) -> Generator[tuple[int, UInt8Array | None]]:
        decoder = Decoder(self._path, self._format, self._decoder.index, stamp=self._stamp)
        with decoder:
            for frame in numbers:
                try:
                    grey = self._decoded(decoder, frame, roi)
                except DisprovedError:
                    decoder.close()
                    self._prove()
                    decoder.index = self._decoder.index
                    grey = self._decoded(decoder, frame, roi)
                yield frame, grey

    def _decoded(self, decoder: Decoder, frame: int, roi: Roi | None) -> UInt8Array | None:
        """Return a frame that a decoder goes on to; None if it is unreadable."""
        if frame >= len(decoder.index):
            return None  # there turned out to be fewer
        try:
            for number, picture in decoder.advance(frame):
                if number == frame:
                    grey = self._grey(frame, picture, roi)
        except VideoError as error:
            if error.frame is None:
                raise
            self._mark_unreadable([frame], error.message)
            return None
        return grey

    def _grey(
        self,
        frame: int,
        picture: av.VideoFrame,
        roi: Roi | None,
        colour_range: ColourRange | None = None,
    ) -> UInt8Array:
        colour_range = colour_range or self._override
        if (picture.height, picture.width) != self._stored:
            height, width = self._stored
            raise VideoError(
                f"is {picture.width} x {picture.height} px, the frames before {width} x {height}; "
                "split the clip there",
                path=self._path,
                frame=frame,
            )
        orientation = self._display.orientation
        try:
            if orientation == AS_STORED:
                return grey_of(picture, roi, colour_range)
            stored = None if roi is None else orientation.stored(roi, self.height, self.width)
            return orientation.show(grey_of(picture, stored, colour_range))
        except AV_ERRORS as error:
            raise VideoError(
                f"its pixels cannot be converted to grey ({reason(error, self._path)})",
                path=self._path,
                frame=frame,
            ) from error
