"""Computing batch by batch, and the only place that falls back: smaller batches, then the CPU.

Every step back is told with a `Notice`; none changes a result beyond rounding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import DeepMTJError, DeviceError
from napari_deepmtj.inference.backends.select import open_backend
from napari_deepmtj.inference.device import resolve_device

if TYPE_CHECKING:
    from napari_deepmtj.inference.backends.base import Backend
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]
T = TypeVar("T")

#: Begins with some pictures on a backend, and returns what waits for their result.
Step = Callable[["Backend", UInt8Array], Callable[[], T]]

#: Makes ready what computes a model: given it, a backend's name and a device.
Opener = Callable[["Model", str, str], "Backend"]

#: What allocators of torch and ONNX Runtime say when memory runs out.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad allocation",
    "bad_alloc",
)


class Runner:
    """Has a backend compute pictures, with less memory or on the CPU where it must.

    Several clips may share one, also by turns.

    Parameters
    ----------
    model : Model
        What is computed; left as it is.
    device : str
        As `resolve_device` takes it.
    batch : int
        Pictures at a time to begin with.
    backend : str
        As `backends.open_backend` takes it.
    opener : callable
        Makes a backend ready, as `backends.open_backend` does, which it is by default.

    Attributes
    ----------
    backend, batch
        Those in use now; the first one once it is `ready`.

    Raises
    ------
    DeviceError
        If there is no such device, or less than a picture at a time.
    """

    def __init__(
        self,
        model: Model,
        device: str = "auto",
        batch: int = 16,
        backend: str = "auto",
        *,
        opener: Opener | None = None,
    ) -> None:
        if batch < 1:
            raise DeviceError(f"a batch of {batch} frames is impossible; give 1 or more")
        if device != "auto":
            resolve_device(device)
        self._open = partial(opener or open_backend, model, backend)
        self._wanted = device
        self._backend: Backend | None = None
        self.batch = self._asked = batch

    def ready(self) -> None:
        """Make the backend ready unless it is.

        Raises
        ------
        DeviceError
            If that is impossible.
        """
        if self._backend is None:
            self._backend = self._open(self._wanted)

    @property
    def backend(self) -> Backend:
        """What computes now."""
        assert self._backend is not None, "it is not ready"
        return self._backend

    @property
    def device(self) -> str:
        """Where it computes now, as torch names it."""
        return self.backend.device

    def run(self, chunks: Iterable[UInt8Array], step: Step[T]) -> Generator[T | Notice]:
        """Yield results of consecutive parts of `chunks`, and a notice a fallback.

        Where the backend computes beside this thread, the next part is begun before the result
        of the last one is waited for. What fails is computed again, in its place.

        Parameters
        ----------
        chunks : iterable of ndarray of uint8, each of shape (n, h, w)
            Pictures; parts hold at most `batch` of them and never those of two chunks.
        step : callable
            Begins with a part, and returns what waits for its result; both are called without
            gradients. The result must not stay on the device.

        Raises
        ------
        DeviceError
            If the CPU fails too.
        """
        parts = _Parts(chunks)
        begun: deque[tuple[UInt8Array, Callable[[], T]]] = deque()
        while True:
            failure: _Failure | None = None
            part = parts.take(self.batch)
            if part is not None:
                started = _tried(partial(step, self.backend, part))
                if isinstance(started, _Failure):
                    failure = started.of(len(part))
                    parts.put_back(part)
                else:
                    begun.append((part, started))
            drain = part is None or failure is not None
            while begun and (drain or len(begun) >= getattr(self.backend, "ahead", 1)):
                result = _tried(begun[0][1])
                if isinstance(result, _Failure):
                    failure = result.of(len(begun[0][0]))
                    while begun:
                        parts.put_back(begun.pop()[0])
                else:
                    begun.popleft()
                    yield result
            if failure is not None:
                yield from self._step_back(failure)
            elif part is None:
                parts.end()
                return

    def _step_back(self, failed: _Failure) -> Generator[Notice]:
        """Take less memory, or the CPU, or give up."""
        failure = failed.error
        short = " ".join(str(failure).split())[:200] or type(failure).__name__
        memory, device = is_out_of_memory(failure), self.device
        if memory and failed.pictures > 1:
            self.batch = failed.pictures // 2
            yield Notice(
                f"{device} ran out of memory with {failed.pictures} frames at a time; "
                f"going on with {self.batch}"
            )
        elif device != "cpu":
            yield Notice(f"{device} failed ({short}); going on with the CPU, which is slower")
            self._backend = self._open("cpu")
            self.batch = self._asked
        elif memory:
            raise DeviceError(
                "the memory does not hold a single frame's computation; close other programs "
                "or choose a smaller model"
            ) from failure
        else:
            raise DeviceError(f"the network failed on the CPU: {short}") from failure


class _Parts:
    """Chunks of pictures in parts, which may be put back."""

    def __init__(self, chunks: Iterable[UInt8Array]) -> None:
        self._chunks = iter(chunks)
        self._back: list[UInt8Array] = []
        self._error: DeepMTJError | None = None

    def take(self, most: int) -> UInt8Array | None:
        """Return the next pictures, at most so many; None at the end, however it came."""
        if not self._back and self._error is None:
            try:
                self._back.extend(islice(self._chunks, 1))
            except DeepMTJError as error:
                self._error = error
        if not self._back:
            return None
        part = self._back.pop()
        if len(part) > most:
            self._back.append(part[most:])
        return part[:most]

    def put_back(self, part: UInt8Array) -> None:
        """Let these be the next ones."""
        self._back.append(part)

    def end(self) -> None:
        """Raise what ended the chunks, if it was an error."""
        if self._error is not None:
            raise self._error


class _Failure(NamedTuple):
    """How work on some pictures failed."""

    error: RuntimeError | MemoryError
    pictures: int = 0

    def of(self, pictures: int) -> _Failure:
        """Say how many pictures it was."""
        return self._replace(pictures=pictures)


def _tried(work: Callable[[], T]) -> T | _Failure:
    """Return what work on a device gives, or how it failed."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        return _Failure(error.with_traceback(None))  # frees the tensors that its frames hold


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error says that a device or the host ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or any(words in text for words in _OUT_OF_MEMORY)
    )
