"""Latents of a batch of frames to bits and back, with rate-distortion optimised quantisation on the way in.

Squares of 2x2 blocks are skipped or coded; in coded squares each band of each block has a flag; flagged bands have
levels. All of it is binary decisions whose probabilities come from the entropy model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.bits import AdaptiveBias, BitChannel, BitWriter, cost_bits, even, probabilities
from neuralcipher.coding.entropy import IntArray, MessageEncoder
from neuralcipher.flows.latent.features import (
    BANDS,
    COEFFICIENTS,
    COLOURS,
    DC_BANDS,
    Blocks,
    BoolArray,
    Neighbourhood,
    Surroundings,
)
from neuralcipher.flows.latent.fields import between, code_integers, contexts, lattice
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.structure import KEY_LEVEL

FloatArray = NDArray[np.float32]

LONGEST_RUN = 14  # levels above 2 + 14 end in plain bits
_PLAIN_BITS = 14
_LIMIT = 2 + LONGEST_RUN + (1 << _PLAIN_BITS) - 1
_DC_KIND = 5
_WORTH_A_LOOK = 0.5


@dataclass(frozen=True, slots=True)
class CodedLatents:
    """latents: (B, 3, 64, h, w) integers. totals: (B, bands, h, w), sums of their magnitudes by band."""

    latents: IntArray
    totals: IntArray


class ResidualCoder:
    """Codes batches of latents on one grid of blocks with one entropy model."""

    def __init__(self, model: EntropyModel, channel: BitChannel, quality: int) -> None:
        self._model, self._channel, self._quality = model, channel, quality

    def decode(self, frames: Sequence[Surroundings]) -> CodedLatents:
        """Read the latents of frames whose surroundings are known."""
        return self._run(frames, _Reading())

    def encode(self, frames: Sequence[Surroundings], target: FloatArray, rate_weight: float) -> CodedLatents:
        """Choose integers near target (B, 3, 64, h, w) and write them.

        Minimises (target - q)^2 + rate_weight * bits, greedily band by band, after a trial run that tells which
        squares are better skipped.
        """
        trial = _Choosing(target, rate_weight, None)
        rehearsal = ResidualCoder(self._model, BitWriter(MessageEncoder()), self._quality)
        rehearsal._run(frames, trial)
        return self._run(frames, _Choosing(target, rate_weight, trial.gain()))

    def _run(self, frames: Sequence[Surroundings], source: _Reading | _Choosing) -> CodedLatents:
        around = Neighbourhood(list(frames), self._quality)
        count, height, width = around.grid
        latents = np.zeros((COLOURS, COEFFICIENTS, count, height, width), dtype=np.int64)
        key = frames[0].level == KEY_LEVEL
        if key:
            self._means(around, latents, source)
        squares = self._squares(around, np.array([f.level for f in frames]), source)
        mask = np.repeat(np.repeat(squares == 1, 2, 1), 2, 2)
        for band in range(len(BANDS)):
            if key and band in DC_BANDS:
                continue
            for blocks in around.passes(mask):
                self._band(around, latents, band, blocks, source)
        return CodedLatents(np.ascontiguousarray(latents.transpose(2, 0, 1, 3, 4)), around.band_totals())

    def _means(self, around: Neighbourhood, latents: IntArray, source: _Reading | _Choosing) -> None:
        """The mean colours of a key frame, as fields."""
        _, height, width = around.grid
        for plane in range(COLOURS):
            field = np.zeros(height * width, dtype=np.int64)
            wanted = source.means(plane)
            if wanted is not None and not source.counts:
                latents[plane, 0, 0] = wanted.reshape(height, width)
                continue
            kind = _DC_KIND + min(plane, 1)
            corner = contexts(kind, False, np.array([99]))
            field[:1] = self._field(corner, None if wanted is None else wanted[:1])
            for step in lattice(height, width):
                middle, spread = between(field[step.near])
                given = None if wanted is None else wanted[step.at] - middle
                field[step.at] = np.clip(
                    middle + self._field(contexts(kind, step.fine, spread), given), -_LIMIT, _LIMIT
                )
            latents[plane, 0, 0] = field.reshape(height, width)
        for band in DC_BANDS:
            for place in around.passes(np.ones(around.grid, dtype=np.bool_)):
                levels = [latents[plane, 0, place.frame, place.row, place.column] for plane in BANDS[band].planes]
                around.put(band, place, np.abs(np.stack(levels)))

    def _field(self, rows: IntArray, values: IntArray | None) -> IntArray:
        return code_integers(self._channel, self._model.fields, rows, values)

    def _squares(self, around: Neighbourhood, level: IntArray, source: _Reading | _Choosing) -> IntArray:
        """(B, h/2, w/2): 1 where a square of 2x2 blocks is coded."""
        count, height, width = around.grid
        coded = np.zeros((count, height // 2, width // 2), dtype=np.int64)
        if not source.counts:
            return coded + 1
        levels = np.broadcast_to(level[:, None, None], coded.shape)
        for parity in (0, 1):
            mask, features = around.skip_features(coded, parity)
            classes = levels[mask]
            logits = self._model.prior.skip.logits(features[None])[0, :, 0] + self._model.skip_bias.values[classes]
            coded[mask] = self._bits(logits, source.squares(mask, logits), self._model.skip_bias, classes)
        return coded

    def _band(
        self, around: Neighbourhood, latents: IntArray, band: int, blocks: Blocks, source: _Reading | _Choosing
    ) -> None:
        if not len(blocks.flat):
            return
        model = self._model
        features = around.flag_features(band, blocks)
        classes = features[:, 16] // 24  # the level of the frame
        bias = model.flag_bias[band]
        logits = model.prior.flags[band].logits(features[None])[0, :, 0] + bias.values[classes]
        flags, chosen = None, None
        if isinstance(source, _Choosing):
            flags, chosen = self._choose(around, band, blocks, features, logits, source)
        coded = logits * 0
        if source.counts:
            coded = self._bits(logits, flags, bias, classes)
        elif flags is not None:
            coded = flags
        at = coded == 1
        if not at.any():
            return
        some = blocks.subset(at)
        levels = chosen[:, at] if chosen is not None else None
        if source.counts:
            levels = self._levels(self._level_logits(around, band, some, features[at]), band, levels)
        if levels is None:
            return
        around.put(band, some, np.abs(levels))
        index = 0
        for plane in BANDS[band].planes:
            for k in BANDS[band].positions:
                latents[plane, k, some.frame, some.row, some.column] = levels[index]
                index += 1

    def _level_logits(self, around: Neighbourhood, band: int, blocks: Blocks, flags: IntArray) -> IntArray:
        """(coefficients, n, 3) of the levels in flagged blocks."""
        logits = self._model.prior.levels[band].logits(around.level_features(band, blocks, flags))
        offsets = np.stack([bias.values for bias in self._model.level_bias[band]], axis=1)
        return logits + offsets[:, None]

    def _choose(
        self,
        around: Neighbourhood,
        band: int,
        blocks: Blocks,
        features: IntArray,
        flag_logits: IntArray,
        source: _Choosing,
    ) -> tuple[IntArray, IntArray]:
        """Flags (n,) and levels (coefficients, n) that cost least."""
        target = source.band(band, blocks)
        flags = np.zeros(len(blocks.flat), dtype=np.int64)
        levels = np.zeros(target.shape, dtype=np.int64)
        zero_bits, one_bits = cost_bits(flag_logits)
        skipped = (target**2).sum(axis=0)
        spent = skipped + source.rate_weight * zero_bits
        look = np.flatnonzero(np.abs(target).max(axis=0) > _WORTH_A_LOOK)
        if look.size:
            some = blocks.subset(look)
            logits = self._level_logits(around, band, some, features[look])
            best, cost = _cheapest(target[:, look], logits, source.rate_weight)
            coded = cost.sum(axis=0) + source.rate_weight * one_bits[look]
            better = (coded < spent[look]) & (best != 0).any(axis=0)
            flags[look[better]] = 1
            levels[:, look[better]] = best[:, better]
            spent[look[better]] = coded[better]
        source.spend(blocks, skipped, spent)
        return flags, levels

    def _levels(self, logits: IntArray, band: int, given: IntArray | None) -> IntArray:
        """Code levels (coefficients, n) under logits (coefficients, n, 3)."""
        rows, count, _ = logits.shape
        classes = np.repeat(np.arange(rows), count)
        flat = logits.reshape(-1, 3)
        values = None if given is None else given.reshape(-1)
        biases = self._model.level_bias[band]
        nonzero = self._bits(flat[:, 0], None if values is None else (values != 0).astype(np.int64), biases[0], classes)
        at = np.flatnonzero(nonzero)
        known = None if values is None else values[at]
        sign = self._channel.code(even(len(at)), None if known is None else (known < 0).astype(np.int64))
        size = None if known is None else np.minimum(np.abs(known), _LIMIT)
        found = np.ones(len(at), dtype=np.int64)
        more = self._bits(flat[at, 1], None if size is None else (size > 1).astype(np.int64), biases[1], classes[at])
        open_ = np.flatnonzero(more)
        found[open_] = 2
        for step in range(LONGEST_RUN):
            if not open_.size:
                break
            asked = None if size is None else (size[open_] > 2 + step).astype(np.int64)
            row = at[open_]
            more = self._bits(flat[row, 2], asked, biases[2], classes[row])
            open_ = open_[more == 1]
            found[open_] += 1
        if open_.size:
            for place in range(_PLAIN_BITS):
                asked = None if size is None else (size[open_] - 2 - LONGEST_RUN) >> place & 1
                found[open_] += self._channel.code(even(len(open_)), asked) << place
        levels = np.zeros(rows * count, dtype=np.int64)
        levels[at] = np.where(sign == 1, -found, found)
        return levels.reshape(rows, count)

    def _bits(self, logits: IntArray, bits: IntArray | None, bias: AdaptiveBias, classes: IntArray) -> IntArray:
        predicted = probabilities(logits)
        coded = self._channel.code(predicted, bits)
        bias.update(classes, coded, predicted)
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

    def __init__(self, target: FloatArray, rate_weight: float, gain: FloatArray | None) -> None:
        self._target = target.transpose(1, 2, 0, 3, 4)
        self.rate_weight = rate_weight
        self.counts = gain is not None
        self._gain = gain
        count, height, width = self._target.shape[2:]
        self._skipped = np.zeros((count, height, width), dtype=np.float32)
        self._spent = np.zeros((count, height, width), dtype=np.float32)

    def gain(self) -> FloatArray:
        """(B, h/2, w/2): by how much coding a square is cheaper than skipping it, before the cost of saying so."""
        count, height, width = self._spent.shape
        squares: FloatArray = (
            (self._skipped - self._spent).reshape(count, height // 2, 2, width // 2, 2).sum(axis=(2, 4))
        )
        return squares

    def means(self, plane: int) -> IntArray | None:
        wanted: IntArray = np.clip(np.rint(self._target[plane, 0, 0]), -_LIMIT, _LIMIT).astype(np.int64).reshape(-1)
        return wanted

    def squares(self, mask: BoolArray, logits: IntArray) -> IntArray | None:
        if self._gain is None:
            raise ValueError("a trial codes every square")
        zero_bits, one_bits = cost_bits(logits)
        chosen: IntArray = (self._gain[mask] > self.rate_weight * (one_bits - zero_bits)).astype(np.int64)
        return chosen

    def band(self, band: int, blocks: Blocks) -> FloatArray:
        """Target (coefficients, n) of the band in blocks."""
        place = blocks.frame, blocks.row, blocks.column
        return np.stack([self._target[p, k][place] for p in BANDS[band].planes for k in BANDS[band].positions])

    def spend(self, blocks: Blocks, skipped: FloatArray, spent: FloatArray) -> None:
        """Add what the band costs in each block."""
        place = blocks.frame, blocks.row, blocks.column
        self._skipped[place] += skipped
        self._spent[place] += spent


def _cheapest(target: FloatArray, logits: IntArray, rate_weight: float) -> tuple[IntArray, FloatArray]:
    """The cheapest of three candidates per coefficient: zero, the nearest integer, and one step towards zero."""
    size = np.abs(target)
    nearest = np.minimum(np.rint(size), _LIMIT)
    zero, nonzero = cost_bits(logits[..., 0])
    one, above = cost_bits(logits[..., 1])
    stop, more = cost_bits(logits[..., 2])
    best, best_cost = np.zeros(size.shape, dtype=np.float32), size**2 + rate_weight * zero
    for candidate in (nearest, nearest - 1):
        run = np.clip(candidate - 2, 0, LONGEST_RUN)
        long = above + run * more + np.where(run < LONGEST_RUN, stop, _PLAIN_BITS)
        rate = nonzero + 1 + np.where(candidate > 1, long, one)
        cost = (size - candidate) ** 2 + rate_weight * rate
        better = (candidate > 0) & (cost < best_cost)
        best, best_cost = np.where(better, candidate, best), np.where(better, cost, best_cost)
    return (np.sign(target) * best).astype(np.int64), best_cost.astype(np.float32)
