"""Where an annotator is in a queue: forward, back, beside it, and back again after a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_deepmtj.annotation.history import AnyEdit, Book
from napari_deepmtj.annotation.queue import Item, Queue


@dataclass(frozen=True, slots=True)
class Batch:
    """How far a person is.

    Parameters
    ----------
    number, of : int
        Which batch, from 1, and how many there are; more may come while `growing`.
    done, total : int
        Labelled frames of the batch, and all of it.
    queue_done, queue_total : int
        The same of the whole queue.
    growing : bool
        Whether files are left that were not looked into.
    """

    number: int
    of: int
    done: int
    total: int
    queue_done: int
    queue_total: int
    growing: bool


class Place:
    """A queue and the place in it, both kept in the state of the label file.

    Parameters
    ----------
    book : Book
        Puts every move on disk.
    annotator : str
    round_ : int
        Whose queue and place it is.
    """

    def __init__(self, book: Book, annotator: str, round_: int) -> None:
        self._book = book
        self._whose = annotator, round_
        self._queue_name = f"queue/{annotator}/{round_}"
        self._position_name = f"position/{annotator}/{round_}"
        stored: Any = book.state(self._queue_name)
        position: Any = book.state(self._position_name)
        self.queue = Queue() if stored is None else Queue.from_json(stored)
        at = position if isinstance(position, int) else 0
        self.position = max(0, min(at, len(self.queue) - 1))
        self._beside: Item | None = None

    @property
    def item(self) -> Item | None:
        """The frame that a person is at: the queue's, or one that was visited beside it."""
        return self.queue_item if self._beside is None else self._beside

    @property
    def queue_item(self) -> Item | None:
        """The frame that the queue is at."""
        return self.queue.items[self.position] if len(self.queue) else None

    @property
    def beside(self) -> bool:
        """Whether the frame was visited beside the queue."""
        return self._beside is not None

    def following(self, n: int = 1) -> tuple[Item, ...]:
        """Return the next `n` frames, for whoever reads them ahead."""
        first = self.position + (not self.beside)
        return self.queue.items[first : first + n]

    # ----- moving -----------------------------------------------------------------------------

    def visit(self, item: Item) -> None:
        """Look at any frame; the place in the queue is kept."""
        here = self.queue_item
        self._beside = None if here is not None and item.key == here.key else item

    def go_to(self, item: Item) -> None:
        """Move to a frame: to its place if it is in the queue, else beside it."""
        position = self.queue.index(item.key)
        if position is None:
            self._beside = item
        else:
            self.move(position)

    def next(self) -> bool:
        """Go to the next frame, or from beside the queue back to it; False if there is none."""
        return self._step(1)

    def previous(self) -> bool:
        """Go to the frame before, or from beside the queue back to it; False if there is none."""
        return self._step(-1)

    def skip(self) -> bool:
        """Go to the next frame without a label; False if there is none."""
        labelled = self._book.labelled(*self._whose)
        for position in range(self.position + (not self.beside), len(self.queue)):
            if self.queue.items[position].key not in labelled:
                self.move(position)
                return True
        return False

    def _step(self, by: int) -> bool:
        position = self.position + (0 if self.beside else by)
        if not 0 <= position < len(self.queue):
            return False
        self.move(position)
        return True

    def move(self, position: int) -> None:
        """Go to a place in the queue."""
        self._book.apply(*self.edits_to(position))
        self.arrive(position)

    def after_label(self) -> int:
        """Return the place to go to after a label: the next, or the present from beside it."""
        last = max(0, len(self.queue) - 1)
        return self.position if self.beside else min(self.position + 1, last)

    def edits_to(self, position: int) -> list[AnyEdit]:
        """Return what is to be put on disk to go to a place; nothing if that is where we are."""
        if position == self.position:
            return []
        return [self._book.set_state(self._position_name, position)]

    def arrive(self, position: int) -> None:
        """Be at a place that is on disk already."""
        self.position = position
        if len(self.queue):
            self._beside = None

    # ----- the queue --------------------------------------------------------------------------

    def set_queue(self, queue: Queue) -> None:
        """Begin a new queue at its first frame."""
        self._save(queue, 0)
        self._beside = None

    def extend(self, queue: Queue) -> None:
        """Take over a queue that has grown at its end."""
        self._save(queue, self.position)

    def add(self, item: Item) -> None:
        """Put a frame into the queue after the present one, unless it is there, and go to it."""
        if self.queue.index(item.key) is None:
            place = min(self.position + 1, len(self.queue))
            self._save(self.queue.with_item(place, item), place)
        self.go_to(item)

    def _save(self, queue: Queue, position: int) -> None:
        edit = self._book.set_state(self._queue_name, queue.to_json())
        self._book.apply(edit, *self.edits_to(position))
        self.queue, self.position = queue, position

    @property
    def running_out(self) -> bool:
        """Whether the last batch has begun while files are left to look into."""
        last = len(self.queue) - self.queue.plan.batch
        return bool(self.queue.pending) and self.position >= last

    @property
    def batch(self) -> Batch:
        """How far the annotator is."""
        here = self.queue.batch_at(self.position)
        labelled = self._book.labelled(*self._whose)
        done = [item.key in labelled for item in self.queue.items]
        return Batch(
            number=here.start // self.queue.plan.batch + 1 if len(self.queue) else 0,
            of=self.queue.batches,
            done=sum(done[here.start : here.stop]),
            total=len(here),
            queue_done=sum(done),
            queue_total=len(self.queue),
            growing=bool(self.queue.pending),
        )
