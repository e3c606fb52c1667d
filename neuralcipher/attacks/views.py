"""What an attacker is handed: exactly what the threat model grants, and nothing that leads to the key.

Views are plain values. The referee makes them from a subject and judges what comes back; an attacker never sees the
subject. A test walks everything that a view refers to and finds neither key nor start latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neuralcipher.attacks.subjects import GeneratorSubject, PairSubject
from neuralcipher.flows.base import Flow
from neuralcipher.generators.base import Generator, Keystream, Shape


@dataclass(frozen=True, slots=True)
class Public:
    """Known ciphertext (KC): <g, F>, and how many frames of which size there are."""

    generator: Generator
    flow: type[Flow]
    section: bytes
    frames: int
    height: int
    width: int

    @property
    def latent_shape(self) -> Shape:
        return self.generator.shape

    def show(self, z0: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """What a guessed start latent sees: frames start..stop-1, (n, 3, H, W) uint8."""
        stream = Keystream(self.generator, z0)
        return torch.stack(list(self.flow.render(self.section, stream, torch.device("cpu"), start, stop)))


@dataclass(frozen=True, slots=True)
class KnownFrames:
    """Known plaintext (KP): `public`, and some frames of the video. frames: index -> (3, H, W) uint8."""

    public: Public
    frames: Mapping[int, Tensor]


@dataclass(frozen=True, slots=True)
class KnownState:
    """State compromise (SC): g, and the latent z_index. latent: (C, H, W) uint8."""

    generator: Generator
    index: int
    latent: Tensor


@dataclass(frozen=True, slots=True)
class KnownStates:
    """A run of the keystream without g: what a stranger to g's weights may learn from. latents: (n, C, H, W)."""

    latents: Tensor


@dataclass(frozen=True, slots=True)
class TwoBundles:
    """Reused key (RK): the public parts of two bundles of one key."""

    first: Public
    second: Public


def public(subject: PairSubject) -> Public:
    """What everyone has of a `bare` bundle."""
    count, _, height, width = subject.frames.shape
    return Public(subject.generator, subject.flow, subject.section, count, height, width)


def known_frames(subject: PairSubject, indices: tuple[int, ...]) -> KnownFrames:
    """The public part and copies of some frames."""
    return KnownFrames(public(subject), {index: subject.frames[index].clone() for index in indices})


def known_state(subject: GeneratorSubject, z0: Tensor, index: int) -> KnownState:
    """z_index of a start latent, index >= 1."""
    return KnownState(subject.generator, index, subject.after(z0, index))


def known_states(subject: GeneratorSubject, z0: Tensor, count: int) -> KnownStates:
    """z_1..z_count."""
    stream = Keystream(subject.generator, z0)
    return KnownStates(torch.stack([stream.latent(index).clone() for index in range(1, count + 1)]))
