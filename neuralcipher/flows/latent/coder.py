"""Frames of integer latents to bytes and back, with rate-distortion optimised quantisation on the way in.

Per band and frame: one flag a block says whether anything differs from the previous frame (from zero in the first),
then the levels of the flagged blocks. Tables adapt to what was coded, on both sides alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.entropy import ESCAPE_RANGE, AdaptiveTables, IntArray, MessageDecoder, MessageEncoder
from neuralcipher.flows.latent.context import (
    ALPHABET,
    BAND_EDGES,
    BANDS,
    CHANNELS,
    DC_CONTEXT,
    FLAG_CONTEXTS,
    LEVEL_LIMIT,
    SYMBOL_CONTEXTS,
    VALUE_LIMIT,
    band_context,
)

FloatArray = NDArray[np.float32]

_INCREMENT = 64
_LIMIT = 1 << 17
_ESCAPE_BITS = 16.0
_LOW, _HIGH = 0, ALPHABET - 1
_PRIOR_ROWS = SYMBOL_CONTEXTS + FLAG_CONTEXTS


@lru_cache(maxsize=1)
def stored_prior() -> tuple[IntArray, IntArray]:
    """The counts every model starts from: (contexts, alphabet) of the levels, (contexts, 2) of the flags."""
    raw = files("neuralcipher").joinpath("data/latent_prior.bin").read_bytes()
    counts = np.frombuffer(raw, dtype="<u2").astype(np.int64)
    split = SYMBOL_CONTEXTS * ALPHABET
    return counts[:split].reshape(SYMBOL_CONTEXTS, ALPHABET), counts[split:].reshape(FLAG_CONTEXTS, 2)


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """One coded frame: its bytes and its latents (K, h, w)."""

    data: bytes
    latents: IntArray


class _Tables:
    """The adaptive tables of one band."""

    def __init__(self) -> None:
        levels, flags = stored_prior()
        self.levels = AdaptiveTables(levels, _INCREMENT, _LIMIT)
        self.flags = AdaptiveTables(flags, _INCREMENT, _LIMIT)


class LatentCoder:
    """Codes frames of latents on an h x w grid in order; one instance encodes or decodes one segment."""

    def __init__(self, height: int, width: int) -> None:
        self._grid = (height, width)
        self._tables = [_Tables() for _ in range(BANDS)]
        self._previous: IntArray | None = None

    def encode(self, target: FloatArray, rate_weight: float) -> CodedFrame:
        """Choose integers near `target` (K, h, w) and code them.

        Minimises (target - q)^2 + rate_weight * bits over a few candidates per coefficient, greedily by band.
        """
        encoder = MessageEncoder()
        current = np.zeros((CHANNELS, *self._grid), dtype=np.int64)
        for band in range(BANDS):
            part = slice(BAND_EDGES[band], BAND_EDGES[band + 1])
            if band == 0 and self._previous is None:
                current[part] = np.clip(np.rint(target[part]), -VALUE_LIMIT, VALUE_LIMIT)
                steps = np.diff(current[part], axis=2, prepend=0).reshape(-1)
                self._put(encoder, band, np.full(steps.shape, DC_CONTEXT), steps)
                continue
            context = band_context(band, current, self._previous)
            tables = self._tables[band]
            contexts, base = context.levels(np.ones(self._grid, dtype=np.bool_))
            wanted = target[part].reshape(base.shape)
            rest = np.zeros_like(base) if self._previous is None else self._previous[part].reshape(base.shape)
            levels, cost = _choose(wanted, rest, contexts, base, tables.levels.cost_bits(), rate_weight)
            flag_contexts, flag_bits = context.flag.reshape(-1), tables.flags.cost_bits()
            coded = cost.sum(axis=0) + rate_weight * flag_bits[flag_contexts, 1]
            skipped = ((wanted - rest) ** 2).sum(axis=0) + rate_weight * flag_bits[flag_contexts, 0]
            flags = coded < skipped
            current[part] = np.where(flags, levels, rest).reshape(current[part].shape)
            encoder.add(flag_contexts, flags.astype(np.int64), tables.flags.counts)
            tables.flags.update(flag_contexts, flags.astype(np.int64))
            self._put(encoder, band, contexts[:, flags].reshape(-1), (levels - base)[:, flags].reshape(-1))
        self._previous = current
        return CodedFrame(encoder.to_bytes(), current)

    def decode(self, data: bytes) -> IntArray:
        """Latents (K, h, w) of the next frame; any bytes decode to something."""
        decoder = MessageDecoder(data)
        current = np.zeros((CHANNELS, *self._grid), dtype=np.int64)
        for band in range(BANDS):
            part = slice(BAND_EDGES[band], BAND_EDGES[band + 1])
            if band == 0 and self._previous is None:
                count = current[part].size
                steps = self._get(decoder, band, np.full(count, DC_CONTEXT)).reshape(current[part].shape)
                current[part] = np.clip(np.cumsum(steps, axis=2), -VALUE_LIMIT, VALUE_LIMIT)
                continue
            context = band_context(band, current, self._previous)
            tables = self._tables[band]
            flag_contexts = context.flag.reshape(-1)
            flag_symbols = decoder.read(flag_contexts, tables.flags.counts)
            tables.flags.update(flag_contexts, flag_symbols)
            flags = flag_symbols.reshape(self._grid).astype(bool)
            if self._previous is not None:
                current[part] = self._previous[part]
            contexts, base = context.levels(flags)
            levels = self._get(decoder, band, contexts.reshape(-1))
            current[part][:, flags] = np.clip(base + levels.reshape(base.shape), -VALUE_LIMIT, VALUE_LIMIT)
        self._previous = current
        return current

    def _put(self, encoder: MessageEncoder, band: int, contexts: IntArray, levels: IntArray) -> None:
        symbols = np.clip(levels, -LEVEL_LIMIT - 1, LEVEL_LIMIT + 1) + LEVEL_LIMIT + 1
        encoder.add(contexts, symbols, self._tables[band].levels.counts)
        self._tables[band].levels.update(contexts, symbols)
        beyond = np.abs(levels) - LEVEL_LIMIT - 1
        encoder.add_escapes(np.minimum(beyond[beyond >= 0], ESCAPE_RANGE - 1))

    def _get(self, decoder: MessageDecoder, band: int, contexts: IntArray) -> IntArray:
        symbols = decoder.read(contexts, self._tables[band].levels.counts)
        self._tables[band].levels.update(contexts, symbols)
        levels = symbols - LEVEL_LIMIT - 1
        escaped = (symbols == _LOW) | (symbols == _HIGH)
        levels[escaped] += np.sign(levels[escaped]) * decoder.read_escapes(int(escaped.sum()))
        return levels


def _choose(
    target: FloatArray, rest: IntArray, contexts: IntArray, base: IntArray, bits: NDArray[np.float64], weight: float
) -> tuple[IntArray, NDArray[np.float64]]:
    """The cheapest of three candidates per coefficient: nearest, one step towards zero, and unchanged."""
    nearest = np.clip(np.rint(target), -VALUE_LIMIT, VALUE_LIMIT).astype(np.int64)
    shrunk = nearest - np.sign(nearest)
    kept = np.clip(rest, nearest - 2, nearest + 2)
    best, best_cost = nearest, np.full(target.shape, np.inf)
    for candidate in (nearest, shrunk, kept):
        levels = candidate - base
        symbols = np.clip(levels, -LEVEL_LIMIT - 1, LEVEL_LIMIT + 1) + LEVEL_LIMIT + 1
        rate = bits[contexts, symbols] + np.where(np.abs(levels) > LEVEL_LIMIT, _ESCAPE_BITS, 0.0)
        cost = (target - candidate) ** 2 + weight * rate
        better = cost < best_cost
        best, best_cost = np.where(better, candidate, best), np.where(better, cost, best_cost)
    return best, best_cost
