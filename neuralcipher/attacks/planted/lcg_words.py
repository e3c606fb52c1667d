"""A planted generator for the batteries: a 32-bit linear congruential generator that gives out all of its state."""

from __future__ import annotations

import math

import numpy as np

from neuralcipher.attacks.planted.generators import PREFIX, Planted, Rows
from neuralcipher.attacks.subjects import GeneratorSubject
from neuralcipher.generators.base import Shape

NAME = PREFIX + "lcg32-words"

_A, _C = 1664525, 1013904223


def lcg_words(shape: Shape) -> GeneratorSubject:
    """x -> a x + c modulo 2^32, little-endian words; the next latent goes on where the last word of this one ended.

    Its low bits have short periods, so that the bytes are too even. (Of `weak-lcg32`, which gives out high bytes alone
    and starts anew with every latent, no battery finds fault in some megabytes.) Latents of a size that is no multiple
    of four lose the rest of the last word, and go on from the last whole one.
    Source: Numerical Recipes (1992), ranqd1.
    """
    size = math.prod(shape)
    words = max(1, size // 4)
    powers = np.multiply.accumulate(np.full(words + 1, _A, np.uint32), dtype=np.uint32)
    sums = np.uint32(_C) * np.cumsum(np.concatenate([[np.uint32(1)], powers[:-1]]), dtype=np.uint32)

    def step(z: Rows) -> Rows:
        padded = np.zeros((len(z), 4 * (words + 1)), np.uint8)
        padded[:, :size] = z
        last = padded.view("<u4")[:, words - 1].astype(np.uint32)
        return np.asarray((last[:, None] * powers + sums).astype("<u4").view(np.uint8)[:, :size])

    return GeneratorSubject(NAME, Planted(NAME, shape, step))
