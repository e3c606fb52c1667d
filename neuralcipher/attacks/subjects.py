"""What is attacked, as the referee holds it: with the key. Attackers get a view (`neuralcipher.attacks.views`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuralcipher.attacks.base import NotApplicable
from neuralcipher.flows.base import FitContext, Flow
from neuralcipher.generators.base import Generator, Keystream, Shape
from neuralcipher.keys import Credential, Key, segment_seed, start_latent

SALT = bytes(32)
"""Of every fresh key that the referee draws: the keys differ, so the salt need not."""


def z0_of(key: bytes, shape: Shape) -> Tensor:
    """z0 of 32 key bytes, by the product's own derivation (HKDF, then ChaCha20). Returns `shape`, uint8."""
    return torch.from_numpy(start_latent(segment_seed(Key(key), SALT, 0), shape))


@dataclass(frozen=True, slots=True)
class GeneratorSubject:
    """A public g, for which the referee draws fresh keys.

    name: for the report. generator: one set of weights, the same for every key. start: 32 key bytes -> z0,
    `z0_of` unless a planted subject derives it badly. made_with: the start latent that these weights were made from,
    None if they are the same whatever the key. remake: makes the subject again from the start latent of another key;
    None if it cannot be, or need not.
    """

    name: str
    generator: Generator
    start: Callable[[bytes, Shape], Tensor] = z0_of
    made_with: Tensor | None = None
    remake: Callable[[bytes], GeneratorSubject] | None = None

    @property
    def shape(self) -> Shape:
        return self.generator.shape

    def starts(self, keys: Sequence[bytes]) -> Tensor:
        """z0 of each key, (keys, C, H, W) uint8."""
        return torch.stack([self.start(key, self.shape) for key in keys])

    def after(self, z: Tensor, steps: int = 1) -> Tensor:
        """`steps` steps of g. z: (..., C, H, W) uint8."""
        for _ in range(steps):
            z = self.generator.next_latent(z)
        return z


@dataclass(frozen=True, slots=True)
class PairSubject:
    """A sealed video <g, F> with its key.

    flow: the class of F; section: its stored bytes, public in `bare`. frames: (N, 3, H, W) uint8, the video that was
    sealed, or what the right key shows of it. z0: of the right key, key: its 32 bytes. others: other videos of the
    same shape. seal: makes the section of any frames under the start latent of a key, as this subject was made,
    and the g that belongs to it; None if the subject cannot be made again.
    """

    name: str
    generator: Generator
    flow: type[Flow]
    section: bytes
    frames: Tensor
    key: bytes
    z0: Tensor
    others: tuple[Tensor, ...] = ()
    seal: Callable[[Tensor, bytes], PairSubject] | None = None
    start: Callable[[bytes, Shape], Tensor] = z0_of

    @property
    def latent_shape(self) -> Shape:
        return self.generator.shape

    def show(self, z0: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Frames start..stop-1 that a start latent sees, (n, 3, H, W) uint8; never an error for a wrong key."""
        stream = Keystream(self.generator, z0)
        return torch.stack(list(self.flow.render(self.section, stream, torch.device("cpu"), start, stop)))

    def starts(self, keys: Sequence[bytes]) -> list[Tensor]:
        """z0 of each key, (C, H, W) uint8."""
        return [self.start(key, self.latent_shape) for key in keys]

    def as_generator(self) -> GeneratorSubject:
        """Its g alone."""
        return GeneratorSubject(self.name, self.generator, self.start)


@dataclass(frozen=True, slots=True)
class BundleSubject:
    """A bundle file with the credentials that open it. suite: "sealed" or "bare". scratch: a folder for copies."""

    name: str
    path: Path
    suite: str
    credentials: tuple[Credential, ...]
    scratch: Path

    def __repr__(self) -> str:
        return f"BundleSubject({self.name}, {self.suite})"


Subject = GeneratorSubject | PairSubject | BundleSubject


def generator_of(subject: Subject) -> GeneratorSubject:
    """The g of a subject. Raises NotApplicable for one that has none at hand."""
    if isinstance(subject, GeneratorSubject):
        return subject
    if isinstance(subject, PairSubject):
        return subject.as_generator()
    raise NotApplicable("this attack works on a generator, and a bundle file shows no generator to a stranger")


def pair_of(subject: Subject) -> PairSubject:
    """The subject as a pair. Raises NotApplicable for anything else."""
    if not isinstance(subject, PairSubject):
        raise NotApplicable("this attack needs a pair <g, F> with its video")
    return subject


def bundle_of(subject: Subject) -> BundleSubject:
    """The subject as a bundle. Raises NotApplicable if it is none."""
    if not isinstance(subject, BundleSubject):
        raise NotApplicable("there is no bundle file to attack")
    return subject


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a pair is made, so that controls and strangers can be made alike.

    flow: the class of F. config: of the flow, or None for its defaults. make_generator: (shape, z0) -> g.
    budget_s: of each fit; a configuration with `steps` makes it reproducible.
    """

    flow: type[Flow]
    make_generator: Callable[[Shape, Tensor], Generator]
    config: Any = None
    budget_s: float = 0.0
    seed: int = 0
    start: Callable[[bytes, Shape], Tensor] = field(default=z0_of)

    def seal(self, name: str, frames: Tensor, key: bytes, others: Sequence[Tensor] = ()) -> PairSubject:
        """Fit the flow to frames (N, 3, H, W) uint8 under a key."""
        made: list[Keystream] = []
        starts: list[Tensor] = []

        def make(shape: Shape) -> Keystream:
            z0 = self.start(key, shape)
            starts.append(z0)
            made.append(Keystream(self.make_generator(shape, z0), z0))
            return made[-1]

        context = FitContext(self.budget_s, self.seed, torch.device("cpu"), lambda report: None)
        section = self.flow(self.config).fit(frames, make, context)
        subject = PairSubject(
            name, made[-1].generator, self.flow, section, frames, key, starts[-1], tuple(others), start=self.start
        )
        return replace(subject, seal=lambda other, other_key: self.seal(name, other, other_key, others))
