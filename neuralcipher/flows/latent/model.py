"""The learned entropy model: small networks in exact integers, trained beforehand and shipped with the package.

Each turns the features of a place (0..127) into logits in 1/256; an offset per class follows the video while it is
coded. Weights are int16; sums stay far below 2**53, so float64 carries them exactly whatever the order of addition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.bits import LOGIT_SCALE, AdaptiveBias, AdaptiveBits
from neuralcipher.coding.entropy import IntArray
from neuralcipher.flows.latent.features import BANDS, FLAG_FEATURES, LEVEL_FEATURES, SKIP_FEATURES
from neuralcipher.flows.latent.structure import LEVELS

FloatArray = NDArray[np.float64]

SKIP_HIDDEN, FLAG_HIDDEN, LEVEL_HIDDEN = 12, 16, 24
LEVEL_LOGITS = 3  # not zero, above one, and one more
FIELD_CONTEXTS = 7 * 12 * 24  # see `fields`
MODE_CONTEXTS = 96  # see `motion`
_FIRST_SCALE, _SECOND_SCALE = 512.0, 256.0


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

    def logits(self, features: IntArray) -> IntArray:
        """(rows, n, outputs) integers in 1/256 from features (rows, n, features) of 0..127."""
        hidden = features.astype(np.float64) @ self.first + self.first_bias * 64
        hidden = np.floor(np.clip(hidden, 0, 32767 * 64) / 64)
        outputs = np.floor((hidden @ self.second + self.second_bias * 256) / 256)
        return outputs.astype(np.int64)


def network_shapes() -> Iterator[tuple[tuple[int, ...], float]]:
    """Shape and scale of every stored array, in order: the skip network, then per band its flag and level network."""
    for features, hidden, rows, outputs in network_sizes():
        yield (features, hidden), _FIRST_SCALE
        yield (rows, 1, hidden), LOGIT_SCALE
        yield (hidden, outputs), _SECOND_SCALE
        yield (rows, 1, outputs), LOGIT_SCALE


def network_sizes() -> list[tuple[int, int, int, int]]:
    """(features, hidden, rows, outputs) of the networks in their order."""
    sizes = [(SKIP_FEATURES, SKIP_HIDDEN, 1, 1)]
    for band in BANDS:
        sizes.append((FLAG_FEATURES, FLAG_HIDDEN, 1, 1))
        sizes.append((LEVEL_FEATURES, LEVEL_HIDDEN, band.size, LEVEL_LOGITS))
    return sizes


@dataclass(frozen=True, slots=True)
class Prior:
    """What every segment starts from: networks, and counts (contexts, 2) of the motion and colour fields."""

    skip: IntegerNetwork
    flags: tuple[IntegerNetwork, ...]
    levels: tuple[IntegerNetwork, ...]
    fields: IntArray
    modes: IntArray


def read_prior(raw: bytes) -> Prior:
    """Read what `benchmarks/fit_latent_prior.py` wrote: int16 weights, then two tables of uint8 counts."""
    offset, arrays = 0, []
    for shape, _ in network_shapes():
        size = int(np.prod(shape))
        arrays.append(np.frombuffer(raw, "<i2", size, offset).astype(np.float64).reshape(shape))
        offset += 2 * size
    networks = [IntegerNetwork(*arrays[i : i + 4]) for i in range(0, len(arrays), 4)]
    tables = np.frombuffer(raw, np.uint8, 2 * (FIELD_CONTEXTS + MODE_CONTEXTS), offset).astype(np.int64).reshape(-1, 2)
    return Prior(
        networks[0], tuple(networks[1::2]), tuple(networks[2::2]), tables[:FIELD_CONTEXTS], tables[FIELD_CONTEXTS:]
    )


@lru_cache(maxsize=1)
def stored_prior() -> Prior:
    """The prior shipped with the package."""
    return read_prior(files("neuralcipher").joinpath("data/latent_prior.bin").read_bytes())


class EntropyModel:
    """The prior and what it has learned from one segment so far; encoder and decoder keep the same."""

    def __init__(self, prior: Prior | None = None) -> None:
        self.prior = prior or stored_prior()
        self.skip_bias = AdaptiveBias(np.zeros(LEVELS, dtype=np.int64))
        self.flag_bias = [AdaptiveBias(np.zeros(LEVELS, dtype=np.int64)) for _ in BANDS]
        self.level_bias = [[AdaptiveBias(np.zeros(b.size, dtype=np.int64)) for _ in range(LEVEL_LOGITS)] for b in BANDS]
        self.fields = AdaptiveBits(self.prior.fields)
        self.modes = AdaptiveBits(self.prior.modes)
