"""Motion of blocks: two references, a mode, and their coding in integers.

Blocks are 8x8; squares of 2x2 blocks share one motion unless they are split. Motion is in quarter pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.bits import BitChannel
from neuralcipher.coding.entropy import IntArray
from neuralcipher.flows.latent.features import discontinuity
from neuralcipher.flows.latent.fields import FIELD_LIMIT, SPREADS, between, code_integers, contexts, lattice
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.structure import ANCHOR_LEVEL, CodedFrame

_Kind = TypeVar("_Kind", bound=np.generic)
FIRST, SECOND, BOTH, NEITHER = 0, 1, 2, 3
_USES = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
_CHANGES = np.array([1, 4, 10, 24, 60])
_FARTHEST = FIELD_LIMIT - 1  # of a prediction: what it differs by from any motion within the limit can then be coded
MODES = 4


@dataclass(frozen=True, slots=True)
class Motion:
    """mode: (h, w), 0 first reference, 1 second, 2 the mean of both, 3 neither. vectors: (2 references, 2, h, w), rows
    first, in quarter pixels; of unused references, what was predicted. split: (h/2, w/2), 0 or 1."""

    mode: IntArray
    vectors: IntArray
    split: IntArray

    @classmethod
    def none(cls, height: int, width: int) -> Motion:
        """Of a frame without references, h x w blocks."""
        zero = np.zeros((2, 2, height, width), dtype=np.int64)
        return cls(np.full((height, width), NEITHER), zero, np.zeros((height // 2, width // 2), dtype=np.int64))


def expected(frame: CodedFrame, known: Mapping[int, tuple[CodedFrame, Motion]], size: tuple[int, int]) -> IntArray:
    """(2, 2, h, w): the motion of a frame as its references suggest it, at constant speed; zero where they do not."""
    guess = np.zeros((2, 2, *size), dtype=np.int64)
    low, high = frame.first, frame.second
    if frame.level <= ANCHOR_LEVEL:
        return guess
    for near, far, sign in ((high, low, 1), (low, high, -1)):
        coded, motion = known[near]
        if coded.level and far in (coded.first, coded.second):
            path = motion.vectors[0 if coded.first == far else 1] * sign
            guess[0] = _share(path, frame.index - low, high - low)
            guess[1] = -_share(path, high - frame.index, high - low)
            break
    return guess


def _share(path: IntArray, part: int, whole: int) -> IntArray:
    share: IntArray = (2 * path * part + whole) // (2 * whole)
    return share


class MotionCoder:
    """Codes the motion of the frames of a batch, all at once; they are anchors all, or none of them is."""

    def __init__(self, model: EntropyModel, channel: BitChannel) -> None:
        self._model, self._channel = model, channel

    def code(
        self, frames: Sequence[CodedFrame], guesses: Sequence[IntArray], motions: Sequence[Motion] | None
    ) -> list[Motion]:
        """Write `motions` and return them, or read them where None; guesses: see `expected`."""
        _, _, height, width = guesses[0].shape
        guess = np.stack(guesses)
        given = None
        if motions is not None:
            given = np.stack([m.mode for m in motions]), np.stack([m.vectors for m in motions])
        rows, columns = height // 2, width // 2
        coarse = _Squares(_flat(guess[..., ::2, ::2]), frames)
        tops = None
        if given is not None:
            tops = given[0][:, ::2, ::2].reshape(len(frames), -1), _flat(given[1][..., ::2, ::2])
        corner = np.zeros(1, dtype=np.int64)
        self._step(coarse, corner, None, False, tops)
        for step in lattice(rows, columns):
            self._step(coarse, step.at, step.near, step.fine, tops)
        mode = np.repeat(np.repeat(coarse.mode.reshape(-1, rows, columns), 2, 1), 2, 2)
        vectors = np.repeat(np.repeat(coarse.vectors.reshape(-1, 2, 2, rows, columns), 2, 3), 2, 4)
        split = self._splits(coarse, rows, columns, None if motions is None else np.stack([m.split for m in motions]))
        self._quarters(mode, vectors, guess, split, coarse.anchors, given)
        for learned in (self._model.fields, self._model.quarters, self._model.splits):
            learned.learn()
        return [Motion(*parts) for parts in zip(mode, vectors, split, strict=True)]

    def _step(
        self,
        squares: _Squares,
        at: IntArray,
        near: IntArray | None,
        fine: bool,
        given: tuple[IntArray, IntArray] | None,
    ) -> None:
        """One pass of the lattice over all frames: modes, then the vectors that they use."""
        guess = squares.guess[..., at]
        if near is None:
            modes = np.full((len(guess), 4, len(at)), BOTH)
            predicted, spread = guess, np.full(guess.shape, 99)
        else:
            modes = squares.mode[:, near]
            beside, expected_ = (np.moveaxis(v.take(near, axis=3), 3, 0) for v in (squares.vectors, squares.guess))
            predicted, spread = steadier(beside, expected_, guess, between)
        mode = self._model.modes.code(
            self._channel,
            _mode_contexts(squares.anchors, modes).reshape(-1),
            None if given is None else given[0][:, at].reshape(-1),
        ).reshape(-1, len(at))
        squares.mode[:, at] = mode
        spread = spread.sum(axis=2)
        uses = _USES[mode].swapaxes(1, 2)  # (B, 2 references, n)
        # The second vector of an anchor is expected where the first points, so it waits for that.
        for reference in (slice(0, 1), slice(1, 2)) if squares.anchors else (slice(0, 2),):
            middle = predicted[:, reference]
            if squares.anchors and reference.start:
                middle = squares.scaled(at)[:, None]
            middle = _within(middle, _FARTHEST)
            kind = contexts(0 if squares.anchors else 1, fine, spread[:, reference])
            kind = kind + 4 * SPREADS * np.arange(2)[reference, None]
            used = _filled(uses[:, reference, None] == 1, middle.shape)
            values = None if given is None else (given[1][:, reference][..., at] - middle)[used]
            where = _filled(kind[:, :, None], middle.shape)[used]
            middle[used] += code_integers(self._channel, self._model.fields, where, values)
            squares.vectors[:, reference, :, at] = _within(middle, FIELD_LIMIT)
        self._model.fields.learn()
        self._model.modes.learn()

    def _splits(self, squares: _Squares, rows: int, columns: int, given: IntArray | None) -> IntArray:
        """(B, rows, columns): which squares are split, in two passes of a chequerboard."""
        change = discontinuity(squares.vectors.reshape(-1, 2, 2, rows, columns))
        change = np.searchsorted(_CHANGES, change, side="right")
        split = np.zeros(change.shape, dtype=np.int64)
        odd = np.broadcast_to(np.add.outer(np.arange(rows), np.arange(columns)) & 1, split.shape)
        for parity in (0, 1):
            near = np.pad(split, ((0, 0), (1, 1), (1, 1)))
            near = near[:, 1:-1, :-2] + near[:, 1:-1, 2:] + near[:, :-2, 1:-1] + near[:, 2:, 1:-1]
            here = odd == parity
            row = 6 * (np.minimum(near, 3) + parity) * parity + change
            split[here] = self._model.splits.code(self._channel, row[here], None if given is None else given[here])
        return split

    def _quarters(
        self,
        mode: IntArray,
        vectors: IntArray,
        guess: IntArray,
        split: IntArray,
        anchors: bool,
        given: tuple[IntArray, IntArray] | None,
    ) -> None:
        """The other three blocks of split squares, in place; mode (B, h, w), vectors and guess (B, 2, 2, h, w).

        Each lies between its square's first block and two blocks of squares beside it.
        """
        frame, row, column = np.nonzero(split)
        _, height, width = mode.shape
        top, left = 2 * row, 2 * column
        up, down = np.maximum(top - 1, 0), np.minimum(top + 2, height - 1)
        before, after = np.maximum(left - 1, 0), np.minimum(left + 2, width - 1)
        y, x = np.stack([top, top + 1, top + 1]), np.stack([left + 1, left, left + 1])
        near_y = np.stack([[top, top, top], [top, top + 1, top + 1], [up, down, down]])
        near_x = np.stack([[left, left, left], [after, before, after], [left + 1, left, left + 1]])
        middle, spread = steadier(
            vectors[frame, :, :, near_y, near_x],
            guess[frame, :, :, near_y, near_x],
            guess[frame, :, :, y, x],
            _median,
        )  # (3, n, 2 references, 2)
        first = np.broadcast_to(mode[frame, top, left], y.shape)
        wanted = None if given is None else given[0][frame, y, x].reshape(-1)
        where = (MODES * int(anchors) + first).reshape(-1)
        mode[frame, y, x] = self._model.quarters.code(self._channel, where, wanted).reshape(y.shape)
        used = _filled(_USES[mode[frame, y, x]][..., None] == 1, middle.shape)
        kind = contexts(4, False, spread.sum(axis=3)) + SPREADS * np.arange(2)
        middle = _within(middle, _FARTHEST)
        values = None if given is None else (given[1][frame, :, :, y, x] - middle)[used]
        where = _filled(kind[..., None], middle.shape)[used]
        middle[used] += code_integers(self._channel, self._model.fields, where, values)
        vectors[frame, :, :, y, x] = _within(middle, FIELD_LIMIT)


class _Squares:
    """The motion of whole squares while it is coded: mode (B, n), vectors and guess (B, 2 references, 2, n)."""

    def __init__(self, guess: IntArray, frames: Sequence[CodedFrame]) -> None:
        self.mode = np.full((guess.shape[0], guess.shape[3]), BOTH)
        self.vectors = np.zeros(guess.shape, dtype=np.int64)
        self.guess = guess
        self.anchors = frames[0].level == ANCHOR_LEVEL
        self._near, self._far = (
            np.array([f.index - getattr(f, name) for f in frames])[:, None, None] for name in ("first", "second")
        )

    def scaled(self, at: IntArray) -> IntArray:
        """(B, 2, n): the first vector, stretched to the distance of the second, which in anchors is near it."""
        stretched: IntArray = (2 * self.vectors[:, 0][..., at] * self._far + self._near) // (2 * self._near)
        return stretched


def _mode_contexts(anchors: bool, near: IntArray) -> IntArray:
    """(B, n) contexts 0..99 of modes, from those of four neighbours (B, 4, n)."""
    both, neither = (near == BOTH).sum(axis=1), (near == NEITHER).any(axis=1)
    balance = _within((near == SECOND).sum(axis=1) - (near == FIRST).sum(axis=1), 2) + 2
    row: IntArray = ((5 * int(anchors) + both) * 2 + neither) * 5 + balance
    return row


def _filled(values: NDArray[_Kind], shape: tuple[int, ...]) -> NDArray[_Kind]:
    """Values broadcast to a shape; sooner than by np.broadcast_to where arrays are small."""
    found = np.empty(shape, dtype=values.dtype)
    found[...] = values
    return found


def _within(values: IntArray, limit: int) -> IntArray:
    return np.minimum(np.maximum(values, -limit), limit)


def _median(values: IntArray) -> tuple[IntArray, IntArray]:
    low, middle, high = np.sort(values, axis=0)
    return middle, high - low


def steadier(
    near: IntArray, near_guess: IntArray, guess: IntArray, middle: Callable[[IntArray], tuple[IntArray, IntArray]]
) -> tuple[IntArray, IntArray]:
    """(prediction, spread) of vectors from neighbours (k, ...), or from how these differ from their own guess.

    Whichever differs less among the neighbours is taken, so that a guess is followed only where it holds.
    """
    plain, plain_spread = middle(near)
    moved, moved_spread = middle(near - near_guess)
    follow = moved_spread <= plain_spread
    return np.where(follow, moved + guess, plain), np.where(follow, moved_spread, plain_spread)


def _flat(vectors: IntArray) -> IntArray:
    return vectors.reshape(*vectors.shape[:3], -1)
