"""The learned entropy model: small networks in exact integers, trained beforehand and shipped with the package.

Each turns the features of a place (0..127) into logits in 1/256. Weights are int16; sums stay far below 2**53, so
float64 carries them exactly whatever the order of addition. Motion and mean colours have counts instead, which follow
the video while it is coded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.bits import LOGIT_SCALE, AdaptiveSymbols
from neuralcipher.coding.entropy import IntArray
from neuralcipher.flows.latent.features import BANDS, FLAG_FEATURES, LEVEL_FEATURES, SKIP_FEATURES
from neuralcipher.flows.latent.fields import SIZES, SPREADS

FloatArray = NDArray[np.float64]

SKIP_HIDDEN, FLAG_HIDDEN, LEVEL_HIDDEN = 12, 16, 24
LEVEL_LOGITS = 3  # not zero, above one, and one more
# (contexts, alphabet) of the counts: integer fields, see `fields`; modes of squares, of the other blocks of a split
# square, and splits, see `motion`.
TABLES = ((7 * 2 * SPREADS, SIZES), (100, 4), (8, 4), (30, 2))
SCALES = (512.0, LOGIT_SCALE, 256.0, LOGIT_SCALE)  # of a network's arrays in their order


@dataclass(frozen=True, slots=True)
class IntegerNetwork:
    """Two layers: relu(x @ first + first_bias) @ second + second_bias, in exact integers.

    first: (features, hidden). first_bias: (rows, 1, hidden). second: (hidden, outputs). second_bias:
    (rows, 1, outputs). All hold integers in float64; rows > 1 where each coefficient has biases of its own.
    """

    first: FloatArray
    first_bias: FloatArray
    second: FloatArray
    second_bias: FloatArray

    def logits(self, features: FloatArray) -> IntArray:
        """(outputs, rows, n) integers in 1/256 from features (features, rows, n), integers 0..127 in float64."""
        inputs, rows, count = features.shape
        hidden = (self.first.T @ features.reshape(inputs, rows * count)).reshape(self.first.shape[1], rows, count)
        hidden += self.first_bias.transpose(2, 0, 1) * 64
        np.minimum(np.maximum(hidden, 0, out=hidden), 32767 * 64, out=hidden)
        hidden *= 1 / 64  # exact, as a power of two
        np.floor(hidden, out=hidden)
        outputs = self.second.T @ hidden.reshape(len(hidden), rows * count)
        outputs = outputs.reshape(self.second.shape[1], rows, count)
        outputs += self.second_bias.transpose(2, 0, 1) * 256
        outputs *= 1 / 256
        logits: IntArray = np.floor(outputs, out=outputs).astype(np.int64)
        return logits


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
