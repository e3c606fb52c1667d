"""Latents of a batch of frames to bits and back, with rate-distortion optimised quantisation on the way in.

Squares of 2x2 blocks are skipped or coded; in coded squares each band of each block has a flag; flagged bands have
levels. All of it is binary decisions whose probabilities come from the entropy model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.bits import BitChannel, BitWriter, cost_bits, even, probabilities
from neuralcipher.coding.entropy import IntArray, MessageEncoder
from neuralcipher.flows.latent.features import (
    BANDS,
    COEFFICIENTS,
    COLOURS,
    DC_BANDS,
    Blocks,
    BoolArray,
    Features,
    Neighbourhood,
    Surroundings,
    columns_of,
)
from neuralcipher.flows.latent.fields import between, code_integers, contexts, lattice
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.sizes import LARGEST, code_sizes, size_bits
from neuralcipher.flows.latent.structure import KEY_LEVEL

FloatArray = NDArray[np.float32]

_DC_KIND = 5
_WORTH_A_LOOK = 0.5
_AT_ONCE = 1 << 16  # coefficients that go through a network together


@dataclass(frozen=True, slots=True)
class CodedLatents:
    """latents: (B, 3, 64, h, w) int16. totals: (B, bands, h, w), sums of their magnitudes by band."""

    latents: NDArray[np.int16]
    totals: IntArray


class ResidualCoder:
    """Codes batches of latents on one grid of blocks with one entropy model."""

    def __init__(self, model: EntropyModel, channel: BitChannel, quality: int) -> None:
        self._model, self._channel, self._quality = model, channel, quality

    def decode(self, frames: Sequence[Surroundings]) -> CodedLatents:
        """Read the latents of frames whose surroundings are known."""
        return self._run(frames, _Reading())

    def encode(
        self,
        frames: Sequence[Surroundings],
        target: FloatArray,
        rate_weight: float,
        importance: FloatArray | None = None,
    ) -> CodedLatents:
        """Choose integers near target (B, 3, 64, h, w) and write them.

        Minimises importance * (target - q)^2 + rate_weight * bits, greedily band by band, after a trial run that tells
        which squares are better skipped. importance: as target, None for 1.
        """
        trial = _Choosing(target, rate_weight, importance, None)
        rehearsal = ResidualCoder(self._model, BitWriter(MessageEncoder()), self._quality)
        rehearsal._run(frames, trial)
        return self._run(frames, _Choosing(target, rate_weight, importance, trial.gain()))

    def _run(self, frames: Sequence[Surroundings], source: _Reading | _Choosing) -> CodedLatents:
        around = Neighbourhood(list(frames), self._quality)
        count, height, width = around.grid
        latents = np.zeros((count * height * width, COLOURS * COEFFICIENTS), dtype=np.int16)
        key = frames[0].level == KEY_LEVEL
        if key:
            self._means(around, latents, source)
        squares = self._squares(around, source)
        passes = around.passes(np.repeat(np.repeat(squares == 1, 2, 1), 2, 2))
        for band in range(len(BANDS)):
            if key and band in DC_BANDS:
                continue
            for blocks in passes:
                self._band(around, latents, band, blocks, source)
        stored = latents.reshape(count, height, width, COLOURS, COEFFICIENTS).transpose(0, 3, 4, 1, 2)
        return CodedLatents(stored, around.band_totals())

    def _means(self, around: Neighbourhood, latents: NDArray[np.int16], source: _Reading | _Choosing) -> None:
        """The mean colours of a key frame, as fields."""
        _, height, width = around.grid
        fields = np.zeros((COLOURS, height * width), dtype=np.int64)
        for plane, field in enumerate(fields):
            wanted = source.means(plane)
            if wanted is not None and not source.counts:
                field[:] = wanted
                continue
            kind = _DC_KIND + min(plane, 1)
            corner = contexts(kind, False, np.array([99]))
            field[:1] = self._field(corner, None if wanted is None else wanted[:1])
            for step in lattice(height, width):
                middle, spread = between(field[step.near])
                given = None if wanted is None else wanted[step.at] - middle
                found = middle + self._field(contexts(kind, step.fine, spread), given)
                field[step.at] = np.minimum(np.maximum(found, -LARGEST), LARGEST)
                self._model.fields.learn()
        latents[:, ::COEFFICIENTS] = fields.T
        for band in DC_BANDS:
            for blocks in around.passes(np.ones(around.grid, dtype=np.bool_)):
                around.put(band, blocks, np.abs(fields[np.array(BANDS[band].planes)[:, None], blocks.place]))

    def _field(self, rows: IntArray, values: IntArray | None) -> IntArray:
        return code_integers(self._channel, self._model.fields, rows, values)

    def _squares(self, around: Neighbourhood, source: _Reading | _Choosing) -> IntArray:
        """(B, h/2, w/2): 1 where a square of 2x2 blocks is coded."""
        count, height, width = around.grid
        coded = np.zeros((count, height // 2, width // 2), dtype=np.int64)
        if not source.counts:
            return coded + 1
        for parity in (0, 1):
            mask, features = around.skip_features(coded, parity)
            logits = self._model.prior.skip.logits(features[:, None])[0, 0]
            coded[mask] = self._bits(logits, source.squares(mask, logits))
        return coded

    def _band(
        self,
        around: Neighbourhood,
        latents: NDArray[np.int16],
        band: int,
        blocks: Blocks,
        source: _Reading | _Choosing,
    ) -> None:
        if not len(blocks.flat):
            return
        features = around.flag_features(band, blocks)
        logits = self._model.prior.flags[band].logits(features[:, None])[0, 0]
        flags, chosen = None, None
        if isinstance(source, _Choosing):
            flags, chosen = self._choose(around, band, blocks, features, logits, source)
        coded = self._bits(logits, flags) if source.counts or flags is None else flags
        at = np.flatnonzero(coded)
        if not at.size:
            return
        some = blocks.subset(at)
        levels = chosen[:, at] if chosen is not None else None
        if source.counts or levels is None:
            levels = self._levels(self._level_logits(around, band, some, features[:, at]), levels)
        around.put(band, some, np.abs(levels))
        latents[some.place, columns_of(band)[:, None]] = levels

    def _level_logits(self, around: Neighbourhood, band: int, blocks: Blocks, flags: Features) -> IntArray:
        """(3, coefficients, n) of the levels in flagged blocks."""
        network, piece = self._model.prior.levels[band], max(1, _AT_ONCE // BANDS[band].size)
        parts = []
        for start in range(0, len(blocks.flat), piece):
            some = slice(start, start + piece)
            parts.append(network.logits(around.level_features(band, blocks.subset(some), flags[:, some])))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _choose(
        self,
        around: Neighbourhood,
        band: int,
        blocks: Blocks,
        features: Features,
        flag_logits: IntArray,
        source: _Choosing,
    ) -> tuple[IntArray, IntArray]:
        """Flags (n,) and levels (coefficients, n) that cost least."""
        target, importance = source.band(band, blocks)
        flags = np.zeros(len(blocks.flat), dtype=np.int64)
        levels = np.zeros(target.shape, dtype=np.int64)
        zero_bits, one_bits = cost_bits(flag_logits)
        skipped = (importance * target**2).sum(axis=0)
        spent = skipped + source.rate_weight * zero_bits
        look = np.flatnonzero(np.abs(target).max(axis=0) > _WORTH_A_LOOK)
        if look.size:
            some = blocks.subset(look)
            logits = self._level_logits(around, band, some, features[:, look])
            best, cost = _cheapest(target[:, look], logits, source.rate_weight, importance[:, look])
            coded = cost.sum(axis=0) + source.rate_weight * one_bits[look]
            better = (coded < spent[look]) & (best != 0).any(axis=0)
            flags[look[better]] = 1
            levels[:, look[better]] = best[:, better]
            spent[look[better]] = coded[better]
        source.spend(blocks, skipped, spent)
        return flags, levels

    def _levels(self, logits: IntArray, given: IntArray | None) -> IntArray:
        """Code levels (coefficients, n) under logits (3, coefficients, n)."""
        flat = logits.reshape(3, -1)
        values = None if given is None else given.reshape(-1)
        nonzero = self._bits(flat[0], None if values is None else (values != 0).astype(np.int64))
        at = np.flatnonzero(nonzero)
        known = None if values is None else values[at]
        negative = self._channel.code(even(len(at)), None if known is None else (known < 0).astype(np.int64))
        size = code_sizes(self._channel, flat[1, at], flat[2, at], None if known is None else np.abs(known))
        nonzero[at] = np.where(negative == 1, -size, size)
        levels: IntArray = nonzero.reshape(logits.shape[1:])
        return levels

    def _bits(self, logits: IntArray, bits: IntArray | None) -> IntArray:
        coded: IntArray = self._channel.code(probabilities(logits), bits).copy()
        return coded


class _Reading:
    """Nothing is known: everything is read."""

    counts = True

    def means(self, plane: int) -> IntArray | None:
        return None

    def squares(self, mask: BoolArray, logits: IntArray) -> IntArray | None:
        return None


class _Choosing:
    """Chooses latents near a target. Without `gain` it is a trial: all squares are coded, and nothing is learned."""

    def __init__(
        self, target: FloatArray, rate_weight: float, importance: FloatArray | None, gain: FloatArray | None
    ) -> None:
        count, *_, height, width = target.shape
        self._target = _by_coefficient(target)
        self._importance = None if importance is None else _by_coefficient(importance)
        self._grid = count, height, width
        self.rate_weight = rate_weight
        self.counts = gain is not None
        self._gain = gain
        self._skipped, self._spent = np.zeros((2, count * height * width), dtype=np.float32)

    def gain(self) -> FloatArray:
        """(B, h/2, w/2): by how much coding a square is cheaper than skipping it, before the cost of saying so."""
        count, height, width = self._grid
        squares = (self._skipped - self._spent).reshape(count, height // 2, 2, width // 2, 2)
        gained: FloatArray = squares.sum(axis=(2, 4))
        return gained

    def means(self, plane: int) -> IntArray | None:
        wanted: IntArray = np.clip(np.rint(self._target[plane * COEFFICIENTS]), -LARGEST, LARGEST).astype(np.int64)
        return wanted

    def squares(self, mask: BoolArray, logits: IntArray) -> IntArray | None:
        if self._gain is None:
            raise ValueError("a trial codes every square")
        zero_bits, one_bits = cost_bits(logits)
        chosen: IntArray = (self._gain[mask] > self.rate_weight * (one_bits - zero_bits)).astype(np.int64)
        return chosen

    def band(self, band: int, blocks: Blocks) -> tuple[FloatArray, FloatArray]:
        """Target and importance (coefficients, n) of the band in blocks."""
        where = columns_of(band)[:, None], blocks.place
        target = self._target[where]
        return target, np.ones_like(target) if self._importance is None else self._importance[where]

    def spend(self, blocks: Blocks, skipped: FloatArray, spent: FloatArray) -> None:
        """Add what the band costs in each block."""
        self._skipped[blocks.place] += skipped
        self._spent[blocks.place] += spent


def _by_coefficient(values: FloatArray) -> FloatArray:
    """(3 * 64, blocks) of (B, 3, 64, h, w)."""
    return np.ascontiguousarray(values.transpose(1, 2, 0, 3, 4)).reshape(COLOURS * COEFFICIENTS, -1)


def _cheapest(
    target: FloatArray, logits: IntArray, rate_weight: float, importance: FloatArray
) -> tuple[IntArray, FloatArray]:
    """The cheapest of three candidates per coefficient: zero, the nearest integer, and one step towards zero."""
    size = np.abs(target)
    nearest = np.minimum(np.rint(size), LARGEST).astype(np.int64)
    zero, nonzero = cost_bits(logits[0])
    best, best_cost = np.zeros(size.shape, dtype=np.int64), importance * size**2 + rate_weight * zero
    for candidate in (nearest, nearest - 1):
        rate = nonzero + 1 + size_bits(logits[1], logits[2], candidate)
        cost = importance * (size - candidate) ** 2 + rate_weight * rate
        better = (candidate > 0) & (cost < best_cost)
        best, best_cost = np.where(better, candidate, best), np.where(better, cost, best_cost)
    return np.where(target < 0, -best, best), best_cost.astype(np.float32)
