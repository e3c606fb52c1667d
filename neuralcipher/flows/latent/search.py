"""Finding the motion of blocks: started by dense optical flow, refined against the decoded references.

Only the encoder comes here. Costs are squared errors of the first colour axis plus a price per bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.flows.latent.motion import BOTH, Motion
from neuralcipher.flows.latent.warp import BLOCK, BORDER, SQUARE, Reference

_TURN = 0.3  # bits a pixel, in squared error, where a residual turns from distortion to rate
_REACH = 4 * 120  # quarter pixels
_FAR = 1e9
_SPLIT_BITS = 8.0
_MODE_BITS = (3.0, 3.5, 0.5, 6.0)
_CROSS = ((-1, 0), (1, 0), (0, -1), (0, 1))
_RING = (*_CROSS, (-1, -1), (-1, 1), (1, -1), (1, 1))


class Luma:
    """The first colour of a reference at all quarter pixels, which is what motion is searched in."""

    def __init__(self, reference: Reference) -> None:
        self.height, self.width = reference.height, reference.width
        half = F.pad(reference.luma().float()[None], (0, 1, 0, 1), mode="replicate")[0]
        here, right, below, across = half[:-1, :-1], half[1:, :-1], half[:-1, 1:], half[1:, 1:]
        odd = torch.arange(here.shape[0])[:, None] + torch.arange(here.shape[1]) & 1
        corner = torch.where(odd == 1, here + across, right + below)
        columns = [torch.stack([here, (here + below) / 2], dim=2), torch.stack([here + right, corner], dim=2) / 2]
        quarters = torch.stack(columns, dim=1).reshape(2 * here.shape[0], -1)
        self._rows = quarters.shape[1]
        self._values = quarters.to(torch.float16).reshape(-1)

    def tiles(self, motion: Tensor, size: int) -> Tensor:
        """Values (rows, columns, size, size) of the tiles of the frame, moved by motion (2, rows, columns)."""
        _, rows, columns = motion.shape
        y = torch.arange(0, rows * size, size)[:, None] * 4 + motion[0] + 4 * BORDER
        x = torch.arange(0, columns * size, size) * 4 + motion[1] + 4 * BORDER
        y = y.clamp(0, 4 * (self.height + 2 * BORDER - size))
        x = x.clamp(0, 4 * (self.width + 2 * BORDER - size))
        n = 4 * torch.arange(size)
        index = (x * self._rows + y)[..., None, None] + (n[:, None] + n * self._rows)
        return self._values.index_select(0, index.reshape(-1)).reshape(index.shape)


@dataclass(slots=True)
class _Best:
    """The best motion so far: vectors (2, n rows, n columns), and its squared error (n rows, n columns)."""

    vectors: Tensor
    error: Tensor


class MotionSearch:
    """Searches the motion of one frame. target: (H, W) first colour axis; bit_price: squared error that a bit costs."""

    def __init__(self, target: Tensor, bit_price: float, importance: Tensor | None = None) -> None:
        """importance: (h, w) of errors in blocks, None for 1."""
        self._target = target
        self._importance: dict[int, Tensor] = {}
        if importance is not None:
            squares = F.avg_pool2d(importance[None], SQUARE // BLOCK)[0]
            self._importance = {BLOCK: importance, SQUARE: squares}
        self._price = bit_price
        self._turn = _TURN * bit_price

    def find(
        self, references: Sequence[Luma], starts: Sequence[Sequence[Tensor]], guesses: Tensor, thorough: bool
    ) -> Motion:
        """The motion into two references; starts: per reference, vectors (2, h, w) to begin from.

        guesses: (2, 2, h, w), the motion that the decoder expects. thorough: search longer.
        """
        single = references[0] is references[1]
        squares, blocks = [], []
        for number in (0,) if single else (0, 1):
            guess, reference = guesses[number], references[number]
            coarse = [s[:, i::2, j::2] for s in starts[number] for i, j in ((0, 0), (1, 1))]
            square = self._search(reference, SQUARE, guess[:, ::2, ::2], coarse, 2 if thorough else 1, (8, 4, 2, 1))
            begin = [_enlarged(square.vectors), *starts[number]]
            squares.append(square)
            blocks.append(self._search(reference, BLOCK, guess, begin, 1, (2, 1)))
        if single:
            squares, blocks = squares * 2, blocks * 2
        top = self._join(references, squares, SQUARE, guesses[:, :, ::2, ::2], single)
        fine = self._join(references, blocks, BLOCK, guesses, single)
        small = fine.cost.reshape(top.cost.shape[0], 2, top.cost.shape[1], 2).sum(dim=(1, 3))
        split = small + _SPLIT_BITS * self._price < top.cost
        apart = _enlarged(split)
        mode = torch.where(apart, fine.mode, _enlarged(top.mode))
        vectors = torch.where(apart, fine.vectors, _enlarged(top.vectors))
        return Motion(mode.numpy(), vectors.numpy(), split.long().numpy())

    def _error(self, reference: Luma, vectors: Tensor, size: int, target: Tensor | None = None) -> Tensor:
        moved = reference.tiles(vectors, size)
        return (moved - (self._tiles(size) if target is None else target)).square().sum(dim=(2, 3))

    def _worth(self, error: Tensor, size: int, share: float) -> Tensor:
        """What a squared error costs once its residual is coded: itself while small, then as the log of it."""
        scale = self._turn * size * size
        if size in self._importance:
            error = error * self._importance[size]
        return scale * torch.log1p(error * (share / scale))

    def _tiles(self, size: int) -> Tensor:
        """(rows, columns, size, size) views of the target."""
        height, width = self._target.shape
        return self._target.reshape(height // size, size, width // size, size).permute(0, 2, 1, 3)

    def _search(
        self,
        reference: Luma,
        size: int,
        guess: Tensor,
        starts: Sequence[Tensor],
        rounds: int,
        steps: Sequence[int],
        target: Tensor | None = None,
        share: float = 1.0,
    ) -> _Best:
        first = guess if target is None else starts[0]
        best = _Best(first, self._error(reference, first, size, target))

        def attempt(candidates: Sequence[Tensor]) -> None:
            expected = _expected(best.vectors, guess)
            cost = self._worth(best.error, size, share) + self._price * _bits(best.vectors - expected)
            for candidate in candidates:
                vectors = candidate.clamp(-_REACH, _REACH)
                error = self._error(reference, vectors, size, target)
                new = self._worth(error, size, share) + self._price * _bits(vectors - expected)
                better = new < cost
                cost = torch.where(better, new, cost)
                best.vectors = torch.where(better, vectors, best.vectors)
                best.error = torch.where(better, error, best.error)

        if target is None:
            attempt(starts)
        for turn in range(rounds):
            if target is None:
                attempt([*_neighbours(best.vectors), _expected(best.vectors, guess)])
            for step in steps if turn == 0 else steps[-1:]:
                ring = _RING if step <= 2 else _CROSS
                attempt([best.vectors + torch.tensor([dy * step, dx * step])[:, None, None] for dy, dx in ring])
        return best

    def _join(
        self, references: Sequence[Luma], found: Sequence[_Best], size: int, guesses: Tensor, single: bool
    ) -> _Joined:
        """Choose per block between either reference, the mean of both, and neither."""
        tiles = self._tiles(size)
        choices = [torch.stack([best.vectors for best in found])] * 4
        errors = [found[0].error, found[1].error + (_FAR if single else 0)]
        if single:
            errors.append(torch.full_like(found[0].error, _FAR))
        else:
            first, second = found
            other = 2 * tiles - references[1].tiles(second.vectors, size)
            first = self._search(references[0], size, guesses[0], [first.vectors], 1, (1,), other, 0.25)
            other = 2 * tiles - references[0].tiles(first.vectors, size)
            second = self._search(references[1], size, guesses[1], [second.vectors], 1, (1,), other, 0.25)
            choices[BOTH] = torch.stack([first.vectors, second.vectors])
            errors.append(second.error / 4)
        errors.append(tiles.square().sum(dim=(2, 3)))
        used = ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0))
        costs = []
        for mode, vectors in enumerate(choices):
            bits = torch.stack([_bits(v - _expected(v, g)) for v, g in zip(vectors, guesses, strict=True)])
            spent = (bits * torch.tensor(used[mode])[:, None, None]).sum(dim=0) + _MODE_BITS[mode]
            costs.append(self._worth(errors[mode], size, 1.0) + self._price * spent)
        cost, mode_of = torch.stack(costs).min(dim=0)
        vectors = torch.stack(choices).gather(0, mode_of[None, None, None].expand(1, 2, 2, *mode_of.shape))[0]
        return _Joined(mode_of, vectors, cost)


@dataclass(frozen=True, slots=True)
class _Joined:
    """mode (rows, columns), vectors (2, 2, rows, columns) and cost (rows, columns)."""

    mode: Tensor
    vectors: Tensor
    cost: Tensor


def _enlarged(field: Tensor) -> Tensor:
    """Each value of (..., rows, columns) as a square of 2x2."""
    return field.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)


def _neighbours(vectors: Tensor) -> list[Tensor]:
    padded = F.pad(vectors[None].double(), (1, 1, 1, 1), mode="replicate")[0].long()
    return [padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]]


def _between(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the middle two of four neighbours, and how far the four differ."""
    up, down, left, right = _neighbours(vectors)
    high = torch.maximum(torch.maximum(up, down), torch.maximum(left, right))
    low = torch.minimum(torch.minimum(up, down), torch.minimum(left, right))
    return (up + down + left + right - high - low) >> 1, high - low


def _expected(vectors: Tensor, guess: Tensor) -> Tensor:
    """About what the decoder will predict, see `motion.steadier`."""
    plain, plain_spread = _between(vectors)
    moved, moved_spread = _between(vectors - guess)
    return torch.where(moved_spread <= plain_spread, moved + guess, plain)


def _bits(difference: Tensor) -> Tensor:
    """A rough price of coding differences (2, rows, columns), in bits."""
    size = difference.abs().float()
    return torch.where(size > 0, 5.0 + 2.0 * torch.log2(size.clamp_min(1)), 0.1).sum(dim=0)
