"""Ways back from a state to the one before it, for someone who can evaluate g as often as time allows."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.generators import gf2
from neuralcipher.attacks.generators.descent import Descent, differentiable
from neuralcipher.generators.base import Generator

GF2_BITS = 1024
"""Largest state that is solved as a linear system over GF(2): it takes an evaluation a bit."""

_HIGH, _LOW = 201, 86
"""Bytes without a common bit, for telling the places of inputs apart."""


class Invertible(Protocol):
    """A generator that publishes its own inverse, as `feistel` does."""

    def previous_latent(self, z: Tensor) -> Tensor:
        """z: (..., C, H, W) uint8; next_latent(previous_latent(z)) == z."""
        ...


class Inverter(Protocol):
    """name: for the report. evaluations: of g that were needed before any state was seen."""

    name: str
    evaluations: int

    def guess(self, z: Tensor) -> Tensor | None:
        """A state that may lead to z, (C, H, W) uint8, or None."""
        ...


class OwnInverse:
    """The inverse that the generator publishes."""

    name, evaluations = "own inverse", 0

    def __init__(self, generator: Generator) -> None:
        self._generator = cast(Invertible, generator)

    def guess(self, z: Tensor) -> Tensor | None:
        return self._generator.previous_latent(z)


class LinearOverBits:
    """Solves z = A x + c over GF(2), A and c found by one evaluation a bit; for a g that is affine, and small."""

    name = "linear system over GF(2)"

    def __init__(self, generator: Generator) -> None:
        self.evaluations = size = 8 * int(np.prod(generator.shape))
        units = np.packbits(np.eye(size, dtype=np.uint8), axis=1, bitorder="little")
        inputs = torch.from_numpy(np.concatenate([np.zeros((1, size // 8), np.uint8), units]))
        bits = _bits(generator.next_latent(inputs.view(-1, *generator.shape)))
        self._shape, self._constant = generator.shape, bits[0]
        self._matrix = (bits[1:] ^ bits[0]).T

    def guess(self, z: Tensor) -> Tensor | None:
        solution = gf2.solve(self._matrix, (_bits(z[None])[0] ^ self._constant)[None])
        if solution is None:
            return None
        return torch.from_numpy(np.packbits(solution[0], bitorder="little")).view(self._shape)


def is_affine(generator: Generator, draw: np.random.Generator) -> bool:
    """Whether g(a) + g(b) + g(c) = g(a + b + c) over GF(2), for four random triples: ideal ones fail at once."""
    for _ in range(4):
        a, b, c = torch.from_numpy(draw.integers(0, 256, (3, *generator.shape), dtype=np.uint8))
        images = generator.next_latent(torch.stack([a, b, c, a ^ b ^ c]))
        if (images[0] ^ images[1] ^ images[2] ^ images[3]).any():
            return False
    return True


class ByteTables:
    """For a g in which each byte depends on one byte of the state before: tables of 256 values, and which byte it is.

    256 evaluations of constant latents give every table at once; log2(size) more, in each of which the places with one
    binary digit set hold another byte, spell out which place each output byte looks at.
    """

    name = "tables of single bytes"

    def __init__(self, generator: Generator) -> None:
        self._shape = generator.shape
        size = int(np.prod(generator.shape))
        digits = max(1, (size - 1).bit_length())
        self.evaluations = 256 + digits
        constant = np.repeat(np.arange(256, dtype=np.uint8)[:, None], size, axis=1)
        self._tables = _images(generator, constant)
        places = np.arange(size)
        coded = np.stack([np.where(places >> digit & 1, _HIGH, _LOW) for digit in range(digits)]).astype(np.uint8)
        shown = _images(generator, coded).astype(np.int16)
        near = [np.abs(shown - self._tables[value].astype(np.int16)) for value in (_HIGH, _LOW)]
        self._source = ((near[0] < near[1]).astype(np.int64) << np.arange(digits)[:, None]).sum(axis=0) % size

    def guess(self, z: Tensor) -> Tensor | None:
        flat = z.reshape(-1).numpy().astype(np.int16)
        fits = np.empty(len(flat), dtype=np.uint8)
        for start in range(0, len(flat), 4096):  # the distances of all at once would take 100 MB
            part = slice(start, start + 4096)
            fits[part] = np.abs(self._tables[:, part].astype(np.int16) - flat[part]).argmin(axis=0)
        out = np.full(len(flat), 128, dtype=np.uint8)
        out[self._source] = fits
        return torch.from_numpy(out).view(self._shape)


def climb(generator: Generator, z: Tensor, guess: Tensor, evaluations: int, draw: np.random.Generator) -> Tensor:
    """Improve a guess by changing random blocks of bytes and keeping what brings g(guess) nearer to z.

    Eight candidates a round; the best is kept. evaluations: at most so many of g.
    """
    flat = guess.reshape(-1).numpy().copy()
    goal = z.to(torch.int16)
    least = float("inf")
    for start in range(0, evaluations, 8):
        count = min(8, evaluations - start)
        candidates = np.repeat(flat[None], count, axis=0)
        for row in candidates[0 if start else 1 :]:  # the first of all is the guess itself
            width = int(2 ** draw.uniform(0, np.log2(len(flat))))
            place = int(draw.integers(0, len(flat) - width + 1))
            row[place : place + width] = draw.integers(0, 256, width, dtype=np.uint8)
        images = generator.next_latent(torch.from_numpy(candidates).view(-1, *generator.shape)).to(torch.int16)
        errors = (images - goal).abs().flatten(1).float().mean(dim=1)
        best = int(errors.argmin())
        if float(errors[best]) < least:
            least, flat = float(errors[best]), candidates[best].copy()
    return torch.from_numpy(flat).view(guess.shape)


def inverters(generator: Generator, draw: np.random.Generator, gradient_steps: int = 0) -> list[Inverter]:
    """The ways that g allows, cheapest first; those that cannot help beside an exact one are left out.

    gradient_steps: of descent a state, where g has gradients.
    """
    if hasattr(generator, "previous_latent"):
        return [OwnInverse(generator)]
    if 8 * int(np.prod(generator.shape)) <= GF2_BITS and is_affine(generator, draw):
        return [LinearOverBits(generator)]
    ways: list[Inverter] = [ByteTables(generator)]
    step = differentiable(generator)
    if step is not None and gradient_steps:
        ways.append(Descent(step, gradient_steps, draw))
    return ways


def misfit(generator: Generator, guess: Tensor, z: Tensor) -> float:
    """Mean absolute difference of g(guess) and z, in bytes: what the attacker can check."""
    return float((generator.next_latent(guess).to(torch.int16) - z.to(torch.int16)).abs().float().mean())


def _bits(z: Tensor) -> gf2.Bits:
    return np.unpackbits(z.flatten(1).numpy(), axis=1, bitorder="little").astype(np.bool_)


def _images(generator: Generator, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """g of each row, (n, size), a few at a time."""
    parts = [
        generator.next_latent(torch.from_numpy(rows[start : start + 16]).view(-1, *generator.shape)).flatten(1).numpy()
        for start in range(0, len(rows), 16)
    ]
    return np.concatenate(parts)
