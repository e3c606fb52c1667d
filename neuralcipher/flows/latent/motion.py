"""Motion of blocks: two references, a mode, and their coding in integers.

Blocks are 8x8; squares of 2x2 blocks share one motion unless they are split. Motion is in quarter pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuralcipher.coding.bits import BitChannel
from neuralcipher.coding.entropy import IntArray
from neuralcipher.flows.latent.features import discontinuity
from neuralcipher.flows.latent.fields import FIELD_LIMIT, between, code_integers, contexts, lattice
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.structure import ANCHOR_LEVEL, CodedFrame

FIRST, SECOND, BOTH, NEITHER = 0, 1, 2, 3
_USES = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
_CHANGES = np.array([1, 4, 10, 24, 60])
_FARTHEST = FIELD_LIMIT - 1  # of a prediction: what it differs by from any motion within the limit can then be coded
_IS_BOTH, _IS_NEITHER, _IS_SECOND, _SPLIT, _SAME, _REST = 0, 10, 20, 30, 60, 70


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
    """Codes the motion of the frames of a batch, all at once."""

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
        anchor = np.repeat([[frame.level == ANCHOR_LEVEL] for frame in frames], rows * columns, axis=1).astype(np.int64)
        distances = [(f.index - f.first, f.index - f.second) for f in frames]
        coarse = _Fields(_flat(guess[..., ::2, ::2]), anchor, distances)
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
        anchors = np.array([f.level == ANCHOR_LEVEL for f in frames], dtype=np.int64)
        self._quarters(mode, vectors, guess, split, anchors, given)
        return [Motion(*parts) for parts in zip(mode, vectors, split, strict=True)]

    def _step(
        self, fields: _Fields, at: IntArray, near: IntArray | None, fine: bool, given: tuple[IntArray, IntArray] | None
    ) -> None:
        """One pass of the lattice over all frames: modes, then the vectors that they use."""
        count = len(fields.mode)
        if near is None:
            modes = np.full((4, count, len(at)), BOTH)
            predicted = fields.guess[..., at].transpose(1, 2, 0, 3)
            spread = np.full(predicted.shape, 99)
        else:
            modes = fields.mode[:, near].swapaxes(0, 1)
            beside, expected_ = (
                np.moveaxis(v[..., near], -2, 0).transpose(0, 2, 3, 1, 4) for v in (fields.vectors, fields.guess)
            )
            predicted, spread = steadier(beside, expected_, fields.guess[..., at].transpose(1, 2, 0, 3), between)
        kind = fields.anchor[:, at]
        wanted = None if given is None else given[0][:, at].reshape(-1)
        mode = self._modes(kind.reshape(-1), modes.reshape(4, -1), wanted).reshape(count, -1)
        fields.mode[:, at] = mode
        for reference in (0, 1):
            guess = predicted[reference]
            if reference:
                guess = np.where(kind == 1, fields.scaled(at), guess)
            guess = np.clip(guess, -_FARTHEST, _FARTHEST)
            uses = np.broadcast_to(_USES[mode, reference] == 1, guess.shape)
            row = contexts(0, fine, spread[reference].sum(axis=0)) + np.where(kind == 1, 0, 2 * 6) + 24 * reference
            values = None if given is None else (given[1][:, reference][..., at].swapaxes(0, 1) - guess)[uses]
            field = guess.copy()
            rows = np.broadcast_to(row, guess.shape)[uses]
            field[uses] += code_integers(self._channel, self._model.fields, rows, values)
            fields.vectors[:, reference][..., at] = np.clip(field, -FIELD_LIMIT, FIELD_LIMIT).swapaxes(0, 1)

    def _modes(self, kind: IntArray, near: IntArray, given: IntArray | None) -> IntArray:
        """Modes (n,) of blocks: kind (n,) 1 in anchors; near (4, n) modes of the neighbours."""
        bits, channel = self._model.modes, self._channel
        mode = np.full(len(kind), BOTH)
        both = bits.code(channel, _IS_BOTH + 5 * kind + (near == BOTH).sum(axis=0), _asked(given, BOTH))
        rest = np.flatnonzero(both == 0)
        kind, near = kind[rest], near[:, rest]
        given = None if given is None else given[rest]
        neither = bits.code(channel, _IS_NEITHER + 5 * kind + (near == NEITHER).sum(axis=0), _asked(given, NEITHER))
        mode[rest[neither == 1]] = NEITHER
        last = neither == 0
        balance = np.clip((near == SECOND).sum(axis=0) - (near == FIRST).sum(axis=0), -2, 2) + 2
        asked = None if given is None else _asked(given[last], SECOND)
        mode[rest[last]] = bits.code(channel, _IS_SECOND + 5 * kind[last] + balance[last], asked)
        return mode

    def _splits(self, fields: _Fields, rows: int, columns: int, given: IntArray | None) -> IntArray:
        """(B, rows, columns): which squares are split, in two passes of a chequerboard."""
        grid = fields.vectors.reshape(-1, 2, 2, rows, columns)
        change = np.searchsorted(_CHANGES, np.stack([discontinuity(v) for v in grid]), side="right")
        split = np.zeros(change.shape, dtype=np.int64)
        odd = np.broadcast_to(np.add.outer(np.arange(rows), np.arange(columns)) & 1, split.shape)
        for parity in (0, 1):
            near = np.pad(split, ((0, 0), (1, 1), (1, 1)))
            near = near[:, 1:-1, :-2] + near[:, 1:-1, 2:] + near[:, :-2, 1:-1] + near[:, 2:, 1:-1]
            here = odd == parity
            row = _SPLIT + 6 * (np.minimum(near, 3) + parity) * parity + change
            split[here] = self._model.modes.code(self._channel, row[here], None if given is None else given[here])
        return split

    def _quarters(
        self,
        mode: IntArray,
        vectors: IntArray,
        guess: IntArray,
        split: IntArray,
        anchor: IntArray,
        given: tuple[IntArray, IntArray] | None,
    ) -> None:
        """The other three blocks of split squares, in place; mode (B, h, w), vectors and guess (B, 2, 2, h, w)."""
        frame, row, column = np.nonzero(split)
        _, height, width = mode.shape
        top, left = 2 * row, 2 * column
        up, down = np.maximum(top - 1, 0), np.minimum(top + 2, height - 1)
        before, after = np.maximum(left - 1, 0), np.minimum(left + 2, width - 1)
        places = (
            (top, left + 1, ((top, left), (top, after), (up, left + 1))),
            (top + 1, left, ((top, left), (top + 1, before), (down, left))),
            (top + 1, left + 1, ((top, left), (top, left + 1), (top + 1, left))),
        )
        for y, x, known in places:
            beside = np.stack([vectors[frame, :, :, b, a] for b, a in known])
            around = np.stack([guess[frame, :, :, b, a] for b, a in known])
            middle, spread = steadier(beside, around, guess[frame, :, :, y, x], _median)
            first = mode[frame, top, left]
            wanted = None if given is None else given[0][frame, y, x]
            mode[frame, y, x] = self._quarter_modes(anchor[frame], first, wanted)
            for reference in (0, 1):
                uses = np.stack([_USES[mode[frame, y, x], reference] == 1] * 2, axis=1)
                row = np.stack([contexts(4, reference == 1, spread[:, reference].sum(axis=1))] * 2, axis=1)
                value = np.clip(middle[:, reference], -_FARTHEST, _FARTHEST)
                values = None if given is None else (given[1][frame, reference, :, y, x] - value)[uses]
                value[uses] += code_integers(self._channel, self._model.fields, row[uses], values)
                vectors[frame, reference, :, y, x] = np.clip(value, -FIELD_LIMIT, FIELD_LIMIT)

    def _quarter_modes(self, anchor: IntArray, first: IntArray, given: IntArray | None) -> IntArray:
        bits, channel = self._model.modes, self._channel
        same = bits.code(channel, _SAME + anchor, None if given is None else (given == first).astype(np.int64))
        mode: IntArray = first.copy()
        other = np.flatnonzero(same == 0)
        # of the three other modes, in the order 0..3: is it the lowest, and if not, the next?
        step = np.zeros(len(other), dtype=np.int64)
        rank = None
        if given is not None:
            rank = given[other] - (given[other] > first[other])
        later = bits.code(channel, _REST + first[other], None if rank is None else (rank > 0).astype(np.int64))
        step[later == 1] = 1
        last = later == 1
        asked = None if rank is None else (rank[last] > 1).astype(np.int64)
        step[last] += bits.code(channel, _REST + 4 + first[other][last], asked)
        mode[other] = step + (step >= first[other])
        return mode


class _Fields:
    """The motion of whole squares while it is coded: mode (B, n), vectors and guess (B, 2, 2, n)."""

    def __init__(self, guess: IntArray, anchor: IntArray, distances: Sequence[tuple[int, int]]) -> None:
        self.mode = np.full((guess.shape[0], guess.shape[3]), BOTH)
        self.vectors = np.zeros(guess.shape, dtype=np.int64)
        self.guess = guess
        self.anchor = anchor
        self._near = np.array([near for near, _ in distances])[:, None]
        self._far = np.array([far for _, far in distances])[:, None]

    def scaled(self, at: IntArray) -> IntArray:
        """(2, B, n): the first vector, stretched to the distance of the second, which in anchors is near it."""
        first = self.vectors[:, 0][..., at].swapaxes(0, 1)
        stretched: IntArray = (2 * first * self._far + self._near) // (2 * self._near)
        return stretched


def _median(values: IntArray) -> tuple[IntArray, IntArray]:
    return np.sort(values, axis=0)[1], values.max(axis=0) - values.min(axis=0)


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


def _asked(given: IntArray | None, mode: int) -> IntArray | None:
    return None if given is None else (given == mode).astype(np.int64)


def _flat(vectors: IntArray) -> IntArray:
    return vectors.reshape(*vectors.shape[:3], -1)
