"""What a click means: one person's round over a label file, every edit on disk before the next.

The view asks which frame to show and what is known of it, and passes on what a person does. Where
the person is, is `place`; undo is `book`; which frames there are is `queue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from napari_deepmtj.annotation.history import AnyEdit, Book, flag_name
from napari_deepmtj.annotation.position import Place
from napari_deepmtj.annotation.proposals import Proposal, moved, proposals_of
from napari_deepmtj.annotation.queue import Item, Known
from napari_deepmtj.annotation.rounds import Begun, Mode, frames_of, latest, mean_position
from napari_deepmtj.core.labels import CONSENSUS, Edit, Label, now
from napari_deepmtj.core.trajectory import Origin, Trajectory
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.store import LabelStore
from napari_deepmtj.video.opening import VideoSource


class AnnotationSession:
    """One annotator's round over a label file.

    Reopening goes on at the frame where the same annotator and round were left. A round that
    reviews, labels again or settles has its queue from the beginning.

    Parameters
    ----------
    store : LabelStore
        The label file; whoever opened it closes it.
    annotator : str
        Who labels.
    round_ : int
        Which round, from 1; the consensus has one only.
    mode : Mode
        What the round is for. A round that has labels keeps the mode it was begun with.
    of : (annotator, round), optional
        The labels that are reviewed or labelled again; needed by those modes.
    seed : int
        Of the order of a blinded round; one that was begun keeps the seed it was begun with.

    Attributes
    ----------
    book : Book
        The labels, by frame.
    place : Place
        Where the annotator is; move with its methods.
    clips : dict
        Content hash -> the clips that are open; a frame can be labelled when its clip is.
    advance : bool
        Whether a label moves on to the next frame.
    propose : bool
        Whether predictions are proposed.
    """

    def __init__(
        self,
        store: LabelStore,
        annotator: str,
        round_: int = 1,
        mode: Mode = Mode.LABEL,
        of: tuple[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        if not annotator.strip():
            raise LabelError("nobody is named as annotator; enter a name before labelling")
        if annotator.strip() == CONSENSUS:
            raise LabelError(f"{CONSENSUS!r} stands for settled labels; enter another name")
        if round_ < 1:
            raise LabelError(f"round {round_} is impossible; rounds count from 1")
        self.book = Book(store)
        self.person = annotator.strip()
        self.mode = mode
        self.annotator, self.round = (CONSENSUS, 1) if self.settles else (self.person, round_)
        self.of = of if mode in (Mode.REVIEW, Mode.BLINDED) else None
        self.seed = self._begin(seed)
        self.place = Place(self.book, self.annotator, self.round)
        self.clips: dict[str, VideoSource] = {}
        self.advance = self.propose = True
        self._predictions: dict[str, Mapping[int, Proposal]] = {}
        self._last: Label | None = None
        if self.has_own_queue and not len(self.place.queue):
            self.begin_again()

    def _begin(self, seed: int) -> int:
        """Hold the round against how it was begun, or note it; return the seed of its order."""
        if self.mode in (Mode.REVIEW, Mode.BLINDED):
            if self.of is None:
                raise LabelError(f"a {self.mode} round needs to know whose labels, of which round")
            if self.of == (self.annotator, self.round):
                raise LabelError(
                    f"round {self.round} cannot be a {self.mode} round of itself; begin round "
                    f"{self.round + 1}"
                )
        asked, whose = Begun(self.mode, self.of, seed), f"{self.annotator}/{self.round}"
        stored = self.book.state(f"round/{whose}")
        known = None if stored is None else Begun.from_json(stored)
        if known is not None and (known.mode, known.of) == (asked.mode, asked.of):
            return known.seed
        if stored is not None and self.book.labelled(self.annotator, self.round):
            begun = "nobody knows what" if known is None else str(known)
            raise LabelError(
                f"round {self.round} of {self.annotator} was begun as {begun}; go on with that, or "
                "begin another round",
                path=self.book.store.path,
            )
        if self.has_own_queue:
            self._frames(seed)  # a round about nothing is not begun
        fresh = [self.book.set_state(f"{what}/{whose}", None) for what in ("queue", "position")]
        self.book.apply(
            self.book.set_state(f"round/{whose}", asked.to_json()),
            *(edit for edit in fresh if edit.before is not None),
        )
        return seed

    # ----- what is known of a frame -----------------------------------------------------------

    @property
    def item(self) -> Item | None:
        """The frame that a click labels."""
        return self.place.item

    @property
    def blind(self) -> bool:
        """Whether everything but the labels of this round is hidden."""
        return self.mode is Mode.BLINDED

    @property
    def settles(self) -> bool:
        """Whether the labels are those that annotators settle on."""
        return self.mode is Mode.ADJUDICATE

    @property
    def has_own_queue(self) -> bool:
        """Whether the round's frames follow from what was labelled before."""
        return self.mode is not Mode.LABEL

    def is_own(self, label: Label) -> bool:
        """Whether a label is of this annotator and round."""
        return (label.annotator, label.round) == (self.annotator, self.round)

    def reviews(self, label: Label) -> bool:
        """Whether a label is one of those that the round reviews."""
        return self.mode is Mode.REVIEW and (label.annotator, label.round) == self.of

    def label_of(self, item: Item) -> Label | None:
        """Return the label of this annotator and round in a frame."""
        return self.book.get(item, self.annotator, self.round)

    def labels_of(self, clip_sha256: str) -> list[Label]:
        """Return the labels of this annotator and round in a clip, by frame."""
        return [label for label in self.book.of_clip(clip_sha256) if self.is_own(label)]

    def others_of(self, item: Item) -> tuple[Label, ...]:
        """Return the labels of others, and earlier ones of one's own; none in a blinded round."""
        return () if self.blind else tuple(la for la in self.book.at(item) if not self.is_own(la))

    def proposal_of(self, item: Item) -> Proposal | None:
        """Return what is proposed in a frame: the label that is reviewed, or a prediction."""
        if self.of is not None and self.mode is Mode.REVIEW:
            earlier = self.book.get(item, *self.of)
            return None if earlier is None else Proposal.of(earlier)
        if self.mode is not Mode.LABEL or not self.propose:
            return None
        return self._predictions.get(item.clip_sha256, {}).get(item.frame)

    def predict(self, trajectory: Trajectory) -> None:
        """Propose a trajectory's positions in the frames of its clip."""
        self._predictions[trajectory.provenance.clip_sha256] = proposals_of(trajectory)

    @property
    def predictions(self) -> Mapping[str, Mapping[int, Proposal]]:
        """What was predicted: content hash -> frame -> proposal."""
        return self._predictions

    @property
    def last_label(self) -> Label | None:
        """The newest visible label of the present clip, for zooming to it.

        The last one set since opening, else the one nearest in time to the present frame.
        """
        if (item := self.item) is None:
            return None
        last = self._last
        if last is not None and last.clip_sha256 == item.clip_sha256 and last in self.book.at(last):
            return last
        seen = [label for label in self.labels_of(item.clip_sha256) if label.visible]
        return min(seen, key=lambda label: abs(label.frame - item.frame), default=None)

    @property
    def known(self) -> Known:
        """What a queue that is made now may rely on."""
        labels = self.book.store.labels
        return Known(labels, self.book.flagged(), self.annotator, self.round)

    @property
    def root(self) -> Path:
        """The folder that the files of a queue are relative to."""
        return Path(self.book.store.path).parent

    def begin_again(self) -> None:
        """Build the queue anew that a reviewing, blinded or adjudicating round has by itself.

        Raises
        ------
        LabelError
            If there is nothing to review, to label again or to settle.
        """
        items = self._frames(self.seed)
        self.place.set_queue(replace(self.place.queue, items=items, pending=()))

    def _frames(self, seed: int) -> tuple[Item, ...]:
        path = self.book.store.path
        chosen = frames_of(self.book.store.labels, self.mode, self.of, seed)
        if not chosen:
            nothing = "no frame was labelled by two annotators, so there is nothing to settle"
            if self.of is not None:
                nothing = "there is no label of {}, round {}".format(*self.of)
            raise LabelError(nothing, path=path)
        return tuple(Item(label.clip_sha256, label.clip, label.frame) for label in chosen)

    # ----- what a person does -----------------------------------------------------------------

    def click(self, x_px: float, y_px: float) -> None:
        """Set or move the frame's point, and go on if `advance` is set.

        Raises
        ------
        LabelError
            If there is no frame, its clip is not open or still being indexed, or the point lies
            outside the picture.
        """
        self._write(x_px, y_px, self._origin(), advance=self.advance)

    def move(self, x_px: float, y_px: float) -> None:
        """Set or move the frame's point and stay, as dragging does."""
        self._write(x_px, y_px, self._origin())

    def not_visible(self) -> None:
        """Say that the MTJ is not visible, and go on if `advance` is set."""
        self._write(None, None, self._origin(), advance=self.advance)

    def nudge(self, dx_px: float, dy_px: float, start: tuple[float, float] | None = None) -> None:
        """Move the frame's point, or what is proposed there, a little, and stay.

        Parameters
        ----------
        dx_px, dy_px : float
            By how much.
        start : (x, y), optional
            Where a point is put if the frame has none, so that keys alone can label it.
        """
        item = self._require_item()
        here = self.label_of(item) or self.proposal_of(item)
        if here is not None and here.x_px is not None and here.y_px is not None:
            self._write(here.x_px + dx_px, here.y_px + dy_px, self._origin())
        elif here is None and start is not None:
            self._write(*start, self._origin())
        else:
            raise LabelError("there is no point to nudge; click one first", frame=item.frame)

    def copy_previous(self) -> None:
        """Label the frame as the nearest labelled one before it in its clip, and stay."""
        item = self._require_item()
        before = [la for la in self.labels_of(item.clip_sha256) if la.frame < item.frame]
        if not before:
            raise LabelError("no frame before it in this clip is labelled", frame=item.frame)
        self._write(before[-1].x_px, before[-1].y_px, self._origin())

    def accept(self) -> None:
        """Take what is proposed as the label, and go on if `advance` is set."""
        item = self._require_item()
        proposal = self.proposal_of(item)
        if proposal is None:
            raise LabelError("there is nothing to accept here; click the point", frame=item.frame)
        self._write(proposal.x_px, proposal.y_px, proposal.origin, advance=self.advance)

    def delete(self) -> None:
        """Take the frame's label away and stay."""
        item = self._require_item()
        if (label := self.label_of(item)) is None:
            raise LabelError("there is no label to delete here", frame=item.frame)
        self.book.commit(item, [Edit(label, None)])

    def flag(self) -> None:
        """Flag the frame, or take the flag away, and stay."""
        item = self._require_item()
        value = None if self.book.is_flagged(item) else {"by": self.person, "when": now()}
        self.book.commit(item, [self.book.set_state(flag_name(item), value)])

    def undo(self) -> bool:
        """Take the last edit back and go to its frame; False if there is none."""
        return self._show(self.book.undo())

    def redo(self) -> bool:
        """Make the edit again that was taken back last, and go to its frame."""
        return self._show(self.book.redo())

    def _show(self, item: Item | None) -> bool:
        if item is not None:
            self.place.go_to(item)
        return item is not None

    # ----- settling between annotators --------------------------------------------------------

    @property
    def choices(self) -> tuple[Label, ...]:
        """Of each annotator the latest label of the present frame, to settle between."""
        if self.item is None or not self.settles:
            return ()
        return tuple(latest(self.others_of(self.item)))

    def settle(self, choice: Label) -> None:
        """Make one annotator's label the consensus, and go on if `advance` is set."""
        if choice not in self.choices:
            raise LabelError("is settled between the labels of its own frame", frame=choice.frame)
        how = f"{choice.annotator}, round {choice.round}"
        self._write(choice.x_px, choice.y_px, choice.origin, advance=self.advance, how=how)

    def settle_by_mean(self) -> None:
        """Make the mean of all annotators the consensus, and go on if `advance` is set."""
        if not self.settles:
            raise LabelError("a mean is taken between annotators; begin to adjudicate first")
        x, y = mean_position(self.choices)
        self._write(x, y, Origin.MANUAL, advance=self.advance, how="mean")

    # ----- writing ----------------------------------------------------------------------------

    def _origin(self) -> Origin:
        """Return the origin of a label that a person sets in the present frame."""
        item = self._require_item()
        here = self.label_of(item) or self.proposal_of(item)
        return Origin.MANUAL if here is None else moved(here.origin)

    def _write(
        self,
        x: float | None,
        y: float | None,
        origin: Origin,
        *,
        advance: bool = False,
        how: str = "placed",
    ) -> None:
        item = self._require_item()
        source = self._require_source(item)
        if x is not None and y is not None:
            inside = -0.5 <= x <= source.width - 0.5 and -0.5 <= y <= source.height - 0.5
            if not inside:
                raise LabelError("the point lies outside the picture", frame=item.frame)
        times = source.times
        label = Label(
            clip=item.clip,
            clip_sha256=item.clip_sha256,
            frame=item.frame,
            time_s=float(times.seconds[item.frame]) if times.known else None,
            x_px=x,
            y_px=y,
            annotator=self.annotator,
            round=self.round,
            origin=origin,
        )
        edits: list[AnyEdit] = [Edit(self.label_of(item), label)]
        if self.settles:
            name = f"consensus/{item.clip_sha256}/{item.frame}"
            edits.append(self.book.set_state(name, {"by": self.person, "how": how}))
        after = self.place.after_label() if advance else self.place.position
        self.book.commit(item, edits, *self.place.edits_to(after))
        if advance:
            self.place.arrive(after)
        if label.visible:
            self._last = label

    def _require_item(self) -> Item:
        if (item := self.item) is None:
            raise LabelError("there is no frame to label; open a clip or build a queue")
        return item

    def _require_source(self, item: Item) -> VideoSource:
        source = self.clips.get(item.clip_sha256)
        if source is None:
            raise LabelError("is not open; open it to label it", path=item.clip)
        if not source.complete:
            raise LabelError("its frames are still being counted; wait a moment", path=item.clip)
        if item.frame >= source.n_frames:
            raise LabelError(
                f"there is no such frame; the clip has {source.n_frames}, numbered from 0",
                path=item.clip,
                frame=item.frame,
            )
        return source
