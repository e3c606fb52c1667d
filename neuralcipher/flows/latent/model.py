"""The learned entropy model: small networks in exact integers, trained beforehand and shipped with the package.

Each turns the features of a place (0..127) into logits in 1/256. Weights are int16; sums stay far below 2**53, most
below 2**24, so that floating point carries them exactly whatever the order of addition. Motion and mean colours have
counts instead, which follow the video while it is coded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.bits import LOGIT_SCALE, AdaptiveSymbols
from neuralcipher.coding.entropy import IntArray
from neuralcipher.flows.latent.features import (
    BANDS,
    FLAG_FEATURES,
    LARGEST_FEATURE,
    LEVEL_FEATURES,
    SKIP_FEATURES,
    Features,
)
from neuralcipher.flows.latent.fields import SIZES, SPREADS

FloatArray = NDArray[np.float64]

SKIP_HIDDEN, FLAG_HIDDEN, LEVEL_HIDDEN = 12, 16, 24
_HIDDEN_LIMIT = 32767
_ONE_THREAD = 1 << 18  # multiplications of a product above which OpenBLAS takes more threads
_FLOAT32_INTEGERS = 1 << 24  # below, float32 holds every integer
LEVEL_LOGITS = 3  # not zero, above one, and one more
# (contexts, alphabet) of the counts: integer fields, see `fields`; modes of squares, of the other blocks of a split
# square, and splits, see `motion`.
TABLES = ((7 * 2 * SPREADS, SIZES), (100, 4), (8, 4), (30, 2))
SCALES = (512.0, LOGIT_SCALE, 256.0, LOGIT_SCALE)  # of a network's arrays in their order


@dataclass(frozen=True)
class IntegerNetwork:
    """Two layers: relu(x @ first + first_bias) @ second + second_bias, in exact integers.

    first: (features, hidden). first_bias: (rows, 1, hidden). second: (hidden, outputs). second_bias:
    (rows, 1, outputs). All hold integers in float64; rows > 1 where each coefficient has biases of its own.
    """

    first: FloatArray
    first_bias: FloatArray
    second: FloatArray
    second_bias: FloatArray

    def logits(self, features: Features) -> IntArray:
        """(outputs, rows, n) integers in 1/256 from features (features, rows, n), integers 0..127."""
        first, first_bias, second, second_bias, limit = self._scaled
        inputs, rows, count = features.shape
        hidden = _product(first, features.reshape(inputs, rows * count)).reshape(len(first), rows, count)
        hidden += first_bias
        np.maximum(hidden, 0, out=hidden)
        if limit is not None:
            np.minimum(hidden, limit, out=hidden)
        np.floor(hidden, out=hidden)
        outputs = _product(second, hidden.reshape(len(hidden), rows * count)).reshape(len(second), rows, count)
        outputs += second_bias
        logits: IntArray = np.floor(outputs, out=outputs).astype(np.int64)
        return logits

    @cached_property
    def _scaled(self) -> tuple[Features, Features, Features, Features, int | None]:
        """The arrays, transposed, with the powers of two that sums are divided by; what hidden units are limited to.

        Sums are integers divided by a power of two, so float32 carries them exactly where none can exceed 2**24, and
        float64 all others. Nothing is limited to what nothing can exceed.
        """
        first, second = self.first.T, self.second.T
        biases = self.first_bias.transpose(2, 0, 1), self.second_bias.transpose(2, 0, 1)
        most_bias, least_bias = biases[0].max(axis=(1, 2)), biases[0].min(axis=(1, 2))
        above = LARGEST_FEATURE * np.maximum(first, 0).sum(axis=1) + 64 * np.maximum(most_bias, 0)
        below = LARGEST_FEATURE * np.minimum(first, 0).sum(axis=1) + 64 * np.minimum(least_bias, 0)
        largest = np.minimum(above // 64, _HIDDEN_LIMIT)
        sums = np.abs(second) @ largest + 256 * np.abs(biases[1]).max(axis=(1, 2))
        exact = max(above.max(), -below.min(), sums.max()) < _FLOAT32_INTEGERS
        arrays = first / 64, biases[0], second / 256, biases[1]
        one, two, three, four = (part.astype(np.float32 if exact else np.float64) for part in arrays)
        return one, two, three, four, None if above.max() < 64 * _HIDDEN_LIMIT else _HIDDEN_LIMIT


def _product(weights: Features, columns: Features) -> Features:
    """weights @ columns, in pieces that OpenBLAS leaves to one thread: others cost more by waiting than they save."""
    count = columns.shape[1]
    step = max(1, _ONE_THREAD // weights.size)
    if count <= step:
        product: Features = weights @ columns
        return product
    made = np.empty((len(weights), count), dtype=np.result_type(weights, columns))
    for start in range(0, count, step):
        np.matmul(weights, columns[:, start : start + step], out=made[:, start : start + step])
    return made


def network_shapes() -> Iterator[tuple[tuple[int, ...], float]]:
    """Shape and scale of every stored array, in order: the skip network, then per band its flag and level network."""
    for features, hidden, rows, outputs in network_sizes():
        shapes = (features, hidden), (rows, 1, hidden), (hidden, outputs), (rows, 1, outputs)
        yield from zip(shapes, SCALES, strict=True)


def network_sizes() -> list[tuple[int, int, int, int]]:
    """(features, hidden, rows, outputs) of the networks in their order."""
    sizes = [(SKIP_FEATURES, SKIP_HIDDEN, 1, 1)]
    for band in BANDS:
        sizes.append((FLAG_FEATURES, FLAG_HIDDEN, 1, 1))
        sizes.append((LEVEL_FEATURES, LEVEL_HIDDEN, band.size, LEVEL_LOGITS))
    return sizes


@dataclass(frozen=True, slots=True)
class Prior:
    """What every segment starts from: networks, and counts of each of TABLES."""

    skip: IntegerNetwork
    flags: tuple[IntegerNetwork, ...]
    levels: tuple[IntegerNetwork, ...]
    tables: tuple[IntArray, ...]


def read_prior(raw: bytes) -> Prior:
    """Read what `benchmarks/fit_latent_prior.py` wrote: int16 weights, then tables of uint8 counts."""
    offset, arrays = 0, []
    for shape, _ in network_shapes():
        size = int(np.prod(shape))
        arrays.append(np.frombuffer(raw, "<i2", size, offset).astype(np.float64).reshape(shape))
        offset += 2 * size
    networks = [IntegerNetwork(*arrays[i : i + 4]) for i in range(0, len(arrays), 4)]
    tables = []
    for rows, columns in TABLES:
        table = np.frombuffer(raw, np.uint8, rows * columns, offset).astype(np.int64)
        tables.append(table.reshape(rows, columns))
        offset += rows * columns
    return Prior(networks[0], tuple(networks[1::2]), tuple(networks[2::2]), tuple(tables))


@lru_cache(maxsize=1)
def stored_prior() -> Prior:
    """The prior shipped with the package."""
    return read_prior(files("neuralcipher").joinpath("data/latent_prior.bin").read_bytes())


class EntropyModel:
    """The prior and what it has learned from one segment so far; encoder and decoder keep the same."""

    def __init__(self, prior: Prior | None = None) -> None:
        self.prior = prior or stored_prior()
        self.fields, self.modes, self.quarters, self.splits = map(AdaptiveSymbols, self.prior.tables)
