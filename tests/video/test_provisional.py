"""Long videos given out before their frames are listed: nothing wrong is ever shown for right."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video import stamp as _stamp
from napari_deepmtj.video.ffmpeg import background as _indexing
from napari_deepmtj.video.ffmpeg import packets as _index
from napari_deepmtj.video.ffmpeg import scan as _examine
from napari_deepmtj.video.ffmpeg import source as _av
from napari_deepmtj.video.frames import LazyFrames
from napari_deepmtj.video.opening import open_video

#: Containers with and without a number of frames, with and without usable timestamps.
NAMES = [
    "mjpeg.avi",
    "h264_long_gop.mp4",
    "h264_open_gop.mkv",
    "h264_b_frames.avi",
    "h264_ticks.avi",
    "h264_variable.mp4",
    "h264.264",
    "h264.ts",
    "xvid_b_frames.avi",
    "wmv2.wmv",
    "vp9.webm",
    "raw_palette.avi",
    "loop.gif",
]


class Gate:
    """Lets a search for frames go on packet by packet, so that a short clip has a long one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._permits = threading.Semaphore(0)
        self._open = threading.Event()
        monkeypatch.setattr(_av, "SHORT_PATIENCE", 0.0)
        monkeypatch.setattr(_index, "_PACE", 1)
        monkeypatch.setattr(_indexing, "PAUSE", 0.0)
        monkeypatch.setattr(_indexing, "PART_EVERY", 0.0)
        monkeypatch.setattr(_indexing, "PART_SHARE", 1e9)
        monkeypatch.setattr(_stamp, "SETTLED_FILE", float("inf"))  # nothing is shared
        for name in ("scanned", "decoded"):
            monkeypatch.setattr(_indexing.Indexing, name, self._slow(name))

    def _slow(self, name):
        real = getattr(_indexing.Indexing, name)

        def slow(indexing, *arguments):
            while not self._open.is_set() and not indexing._stop.is_set():
                if self._permits.acquire(timeout=0.01):
                    break
            real(indexing, *arguments)

        return slow

    def let(self, packets: int) -> None:
        self._permits.release(packets)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch):
    made = Gate(monkeypatch)
    yield made
    made.open()


def indexers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("index ")]


def until(true, seconds=10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)


@pytest.mark.parametrize("name", NAMES)
def test_provisional_then_complete_and_equal_to_one_opened_whole(
    name, gate, clip_folder, clips, show_number
) -> None:
    gate_open = threading.Event()
    with open_video(clip_folder / name, background=True) as source:
        assert not source.complete
        assert source.settled >= 1
        assert show_number(source.read(0)) == 0  # the first frame waits for nothing
        assert source.n_frames >= 16
        if name not in ("h264.264", "h264.ts"):  # those claim nothing
            assert source.n_frames == pytest.approx(clips[name].n, rel=0.35)
        source.when_complete(gate_open.set)
        assert not gate_open.is_set()
        gate.open()
        told: list[float] = []
        source.wait(told.append)
        assert told[-1] == 1.0
        assert gate_open.wait(5)
        with open_video(clip_folder / name) as whole:
            assert whole.complete
            assert source.complete
            assert source.n_frames == whole.n_frames == source.settled == clips[name].n
            np.testing.assert_array_equal(source.times.seconds, whole.times.seconds)
            assert source.times.source == whole.times.source
            assert dict(source.metadata) == dict(whole.metadata)
            assert set(whole.notices) <= set(source.notices)
            for ours, theirs in zip(source.frames(), whole.frames(), strict=True):
                np.testing.assert_array_equal(ours, theirs)
        assert not indexers()


@pytest.mark.parametrize(
    "name", ["mjpeg.avi", "h264_long_gop.mp4", "h264_b_frames.avi", "h264.264", "wmv2.wmv"]
)
def test_a_part_of_the_table_gives_right_frames(name, gate, clip_folder, show_number) -> None:
    with open_video(clip_folder / name, background=True) as source:
        seen = []
        for _ in range(400):
            if source.complete:
                break
            gate.let(1)
            time.sleep(0.001)
            settled = source.settled
            if settled > 1 and (not seen or settled > seen[-1] + 4):
                seen.append(settled)
                for n in (settled - 1, settled // 2, 0):
                    assert show_number(source.read(n)) == n
        assert len(seen) > 3
        assert seen == sorted(seen)


def test_reading_waits_for_its_frame_and_not_for_all(gate, clip_folder, show_number) -> None:
    with open_video(clip_folder / "h264_long_gop.mp4", background=True) as source:
        got: list[int] = []
        reader = threading.Thread(target=lambda: got.append(show_number(source.read(40))))
        reader.start()
        gate.let(50)
        time.sleep(0.1)
        assert got == []  # 50 packets settle 18 frames
        gate.let(30)
        reader.join(10)
        assert got == [40]
        assert not source.complete


def test_sequential_reading_waits_for_all(gate, clip_folder) -> None:
    with open_video(clip_folder / "mjpeg.avi", background=True) as source:
        counted: list[int] = []
        reader = threading.Thread(target=lambda: counted.append(sum(1 for _ in source.frames())))
        reader.start()
        gate.let(20)
        time.sleep(0.05)
        assert reader.is_alive()
        gate.open()
        reader.join(10)
        assert counted == [60]


def test_a_claim_that_differs_is_told(gate, clip_folder, tmp_path) -> None:
    data = bytearray((clip_folder / "mjpeg.avi").read_bytes())
    for tag, offset in ((b"avih", 24), (b"strh", 40)):  # dwTotalFrames, dwLength: 60 -> 90
        place = data.index(tag) + offset
        assert int.from_bytes(data[place : place + 4], "little") == 60
        data[place : place + 4] = (90).to_bytes(4, "little")
    path = tmp_path / "claims.avi"
    path.write_bytes(data)
    with open_video(path, background=True) as source:
        assert (source.n_frames, len(source.times)) == (90, 90)
        gate.open()
        source.wait()
        assert source.n_frames == 60
        assert "claims.avi claimed 90 frames, but has 60; these are used" in source.notices
        with pytest.raises(VideoError, match="no such frame; the clip has 60"):
            source.read(75)
    with open_video(path) as source:  # opened whole, nobody has seen a claim
        assert not any("claimed" in notice for notice in source.notices)


def test_an_absurd_claim_is_not_believed(gate, clip_folder, tmp_path) -> None:
    data = bytearray((clip_folder / "mjpeg.avi").read_bytes())
    place = data.index(b"strh") + 40
    data[place : place + 4] = b"\xff\xff\xff\x7f"
    (tmp_path / "absurd.avi").write_bytes(data)
    with open_video(tmp_path / "absurd.avi", background=True) as source:
        assert source.n_frames == 16
        gate.open()
        source.wait()
        assert source.n_frames == 60


def test_closing_ends_the_listing_and_frees_who_waits(gate, clip_folder) -> None:
    source = open_video(clip_folder / "h264_b_frames.avi", background=True)
    said: list[str] = []
    called = threading.Event()
    source.when_complete(called.set)

    def wait() -> None:
        try:
            source.wait()
        except VideoError as error:
            said.append(str(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    gate.let(5)
    source.close()
    waiter.join(5)
    assert "closed; open it again" in said[0]
    assert not indexers()
    assert not source.complete
    assert called.is_set()  # nobody waits for ever
    with pytest.raises(VideoError, match="closed"):
        source.read(0)
    source.close()


def test_a_forgotten_source_ends_its_thread(gate, clip_folder) -> None:
    source = open_video(clip_folder / "mjpeg.avi", background=True)
    forgotten = weakref.ref(source)
    assert indexers()
    del source
    gc.collect()
    assert forgotten() is None
    assert not indexers()


def test_a_listing_that_fails_is_one_clear_line(gate, clip_folder, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise VideoError("its frames cannot be listed", path="mjpeg.avi")

    monkeypatch.setattr(_indexing, "find", fail)
    monkeypatch.setattr(_indexing.Indexing, "start", lambda self, found: None)
    source = open_video(clip_folder / "mjpeg.avi", background=True)
    source._indexing.run(lambda found: None)
    for ask in (source.wait, lambda: source.read(30), source.frames):
        with pytest.raises(VideoError, match=r"^mjpeg.avi: its frames cannot be listed$"):
            ask()
    assert not source.complete
    source.close()


def test_a_short_clip_is_complete_at_once(clip_folder) -> None:
    with open_video(clip_folder / "mjpeg.avi", background=True) as source:
        assert source.complete
        assert not any("claimed" in notice for notice in source.notices)


def test_a_file_opened_again_is_not_searched_again(clip_folder, monkeypatch, tmp_path) -> None:
    searched: list[str] = []
    real = _examine._search
    monkeypatch.setattr(
        _examine, "_search", lambda seen, *a: searched.append(seen.path.name) or real(seen, *a)
    )
    monkeypatch.setattr(_stamp, "SETTLED_FILE", -1.0)
    path = tmp_path / "a.mp4"
    path.write_bytes((clip_folder / "h264_long_gop.mp4").read_bytes())
    with open_video(path) as first, open_video(path) as second:
        assert searched == ["a.mp4"]
        np.testing.assert_array_equal(first.read(100), second.read(100))
        path.write_bytes((clip_folder / "h264_full_range.mov").read_bytes())
        with open_video(path) as other:
            assert other.n_frames == 60
    del first, second, other
    gc.collect()
    assert len(searched) == 2
    with open_video(path):
        assert len(searched) == 3  # nobody had it open any more


def test_a_file_just_written_is_always_searched(clip_folder, tmp_path) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes((clip_folder / "mjpeg.avi").read_bytes())
    with open_video(path):
        assert _stamp.identity(path) is None


def test_frames_not_listed_are_chequered_and_never_wait(gate, clip_folder, show_number) -> None:
    with open_video(clip_folder / "h264_long_gop.mp4", background=True) as source:
        frames = LazyFrames(source, waits=False)
        assert frames.shape == (120, 64, 160)
        pending = frames[90:91][0]
        assert frames.missed == 90
        assert set(np.unique(pending)) == {24, 40}
        assert pending[0, 0] != pending[0, 16] == pending[16, 0]
        assert show_number(frames[0]) == 0
        gate.open()
        source.wait()
        assert show_number(frames[90]) == 90


@pytest.mark.parametrize("how", ["", "source.close()", "del source"])
def test_a_program_that_ends_while_frames_are_listed_ends_cleanly(
    how, clip_folder, tmp_path
) -> None:
    code = (
        "from napari_deepmtj.video.ffmpeg import background as _indexing\n"
        "from napari_deepmtj.video.ffmpeg import packets as _index, source as _av\n"
        "from napari_deepmtj.video.opening import open_video\n"
        "import time\n"
        "_av.SHORT_PATIENCE = 0.0\n"
        "_index._PACE = 1\n"
        "real = _indexing.Indexing.scanned\n"
        "_indexing.Indexing.scanned = lambda *a: (time.sleep(0.05), real(*a))\n"
        f"source = open_video({str(clip_folder / 'h264_long_gop.mp4')!r}, background=True)\n"
        "assert not source.complete\n"
        "source.read(0)\n"
        f"{how}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_a_mat_file_beside_a_clip_is_obeyed_at_once(gate, clip_folder, tmp_path) -> None:
    from scipy.io import savemat

    path = Path(tmp_path / "a.avi")
    path.write_bytes((clip_folder / "mjpeg.avi").read_bytes())
    savemat(tmp_path / "a.mat", {"TVDdata": {"Time": np.arange(60) / 7.0}})
    gate.open()
    with open_video(path, background=True) as source:
        assert source.complete
        assert source.times.rate == pytest.approx(7.0)


def test_all_are_told_whatever_one_of_them_raises(gate, clip_folder, monkeypatch) -> None:
    raised: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(str(args.exc_value)))
    called: list[int] = []

    def fails() -> None:
        called.append(1)
        raise RuntimeError("of a callback")

    with open_video(clip_folder / "mjpeg.avi", background=True) as source:
        source.when_complete(fails)
        source.when_complete(lambda: called.append(2))
        gate.open()
        source.wait()
        until(lambda: not indexers())
        assert called == [1, 2]
        assert raised == ["of a callback"]
        assert source.complete


def test_who_sees_a_clip_complete_sees_all_of_it(gate, clip_folder, monkeypatch) -> None:
    seen: list[object] = []
    real = _av.AvSource.say

    def say(source, *notices):
        seen.append((source.complete, source.metadata.get("frame_index")))
        real(source, *notices)

    monkeypatch.setattr(_av.AvSource, "say", say)
    with open_video(clip_folder / "mjpeg.avi", background=True) as source:
        gate.open()
        source.wait()
    assert seen[0] == (False, "timestamps")
