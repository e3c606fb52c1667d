"""Planted flows: one that hides the video perfectly, and some that each have one fault that attacks must find.

No bundle can hold them, and no command offers them; their sections are read as strictly as those of real flows.
All take latents of the frame's own size, (3, H, W), and spend no time on fitting.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from neuralcipher.attacks.planted.generators import PREFIX, control_generator, weak_generator
from neuralcipher.attacks.subjects import PairSubject, Recipe, z0_of
from neuralcipher.coding.binary import FieldReader
from neuralcipher.errors import UsageError
from neuralcipher.flows.base import FitContext, Flow, KeystreamFactory, check_frames
from neuralcipher.generators.base import Generator, Keystream, Shape
from neuralcipher.generators.chacha20 import ChaCha20Generator

_HEAD = "<IHH"
_MAX_FRAMES = 1 << 16
_MAX_SIDE = 1 << 12
_MAX_PIXELS = 1 << 24
_MIDDLE = 127.5
_SEED_BYTES = 32
BUNDLE_KEY_HALF = 16


class PlantedFlow:
    """What all planted flows share: a section is the number and size of the frames, then one body.

    A subclass says how its body is made and what a keystream sees in it.
    """

    name: ClassVar[str] = PREFIX + "flow"
    keyed: ClassVar[bool] = True  # they claim so: attacks must find out
    rate_controlled: ClassVar[bool] = False
    config_type: ClassVar[type[Any]] = object

    def __init__(self, config: Any = None) -> None:
        self._config = config

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Store frames (N, 3, H, W) uint8; see `Flow.fit`."""
        check_frames(frames)
        count, _, height, width = frames.shape
        body = self._body(frames, make_keystream((3, height, width)))
        return struct.pack(_HEAD, count, height, width) + body

    @classmethod
    def latent_shape(cls, section: bytes) -> Shape:
        """(3, H, W): the frame's size; see `Flow.latent_shape`."""
        _, height, width, _ = _parse(section)
        return 3, height, width

    @classmethod
    def video_shape(cls, section: bytes) -> tuple[int, int, int]:
        """(N, H, W) of its frames; see `Flow.video_shape`."""
        return _parse(section)[:3]

    @classmethod
    def parameters(cls, section: bytes) -> int:
        """None: nothing is trained."""
        return 0

    @classmethod
    def render(
        cls, section: bytes, keystream: Keystream, device: torch.device, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Yield frames start..stop-1, (3, H, W) uint8; see `Flow.render`."""
        count, height, width, body = _parse(section)
        stop = count if stop is None else min(stop, count)
        yield from cls._shown(body, (count, 3, height, width), keystream, range(start, stop))

    @classmethod
    def remask(cls, section: bytes, old: Keystream, new: Keystream) -> bytes:
        """Not offered: sealing again costs as little."""
        raise UsageError("a planted flow is sealed again instead")

    def _body(self, frames: Tensor, keystream: Keystream) -> bytes:
        raise NotImplementedError

    @classmethod
    def _shown(
        cls, body: FieldReader, shape: tuple[int, int, int, int], keystream: Keystream, indices: range
    ) -> Iterator[Tensor]:
        raise NotImplementedError


class IdealFlow(PlantedFlow):
    """The negative control: x_i XOR the ChaCha20 keystream of SHA-256(z_i). A wrong key sees uniform noise."""

    name = "ideal"

    def _body(self, frames: Tensor, keystream: Keystream) -> bytes:
        pads = torch.stack([_noise_of(keystream.latent(i + 1)) for i in range(len(frames))])
        return _to_bytes(frames ^ pads)

    @classmethod
    def _shown(
        cls, body: FieldReader, shape: tuple[int, int, int, int], keystream: Keystream, indices: range
    ) -> Iterator[Tensor]:
        stored = _bytes_of(body, shape)
        for i in indices:
            yield stored[i] ^ _noise_of(keystream.latent(i + 1))


class IgnoresKeyFlow(PlantedFlow):
    """Shows the video to every key. Fault: F does not depend on z."""

    name = PREFIX + "ignores-key"

    def _body(self, frames: Tensor, keystream: Keystream) -> bytes:
        return _to_bytes(frames)

    @classmethod
    def _shown(
        cls, body: FieldReader, shape: tuple[int, int, int, int], keystream: Keystream, indices: range
    ) -> Iterator[Tensor]:
        stored = _bytes_of(body, shape)
        for i in indices:
            yield stored[i].clone()


class MeanBiasFlow(PlantedFlow):
    """Fault: the mean frame lies open, and a wrong key sees it under noise; what differs from it is masked.

    Stored: the mean frame, and (x_i - mean + z_i) mod 256; differences outside -128..127 come back clipped.
    """

    name = PREFIX + "mean-bias"

    def _body(self, frames: Tensor, keystream: Keystream) -> bytes:
        mean = frames.double().mean(dim=0).round().to(torch.uint8)
        rest = (frames.int() - mean.int()).clamp(-128, 127)
        masked = [(one + keystream.latent(i + 1).int()) & 255 for i, one in enumerate(rest)]
        return _to_bytes(mean) + _to_bytes(torch.stack(masked).to(torch.uint8))

    @classmethod
    def _shown(
        cls, body: FieldReader, shape: tuple[int, int, int, int], keystream: Keystream, indices: range
    ) -> Iterator[Tensor]:
        mean, masked = _bytes_of(body, shape[1:], last=False).int(), _bytes_of(body, shape).int()
        for i in indices:
            rest = ((masked[i] - keystream.latent(i + 1).int() + 128) & 255) - 128
            yield (mean + rest).clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True, slots=True)
class LinearConfig:
    """gain: grey levels that F adds for one step of a latent's own value, 0 < gain <= 1: it makes F invertible."""

    gain: float = 0.125

    def __post_init__(self) -> None:
        if not 0 < self.gain <= 1:
            raise UsageError(f"the gain of a linear flow lies in (0, 1], not {self.gain:g}")


class LinearFlow(PlantedFlow):
    """x_i = round(clip(A (z_i - 127.5) + 127.5)), A = gain I + U V. Fault: F is linear and can be inverted.

    V (N, D) are the rows of the pseudo-inverse of the latents, U (D, N) what each of them must add, D = 3 H W: the
    right latents give the video exactly, unrelated ones next to plain grey, and those between what lies between.
    """

    name = PREFIX + "linear"
    config_type = LinearConfig

    def __init__(self, config: LinearConfig | None = None) -> None:
        super().__init__(config or LinearConfig())

    def _body(self, frames: Tensor, keystream: Keystream) -> bytes:
        count = len(frames)
        z = torch.stack([keystream.latent(i + 1) for i in range(count)]).reshape(count, -1).double() - _MIDDLE
        gain = np.float32(self._config.gain)
        added = frames.reshape(count, -1).double() - _MIDDLE - float(gain) * z
        # The N x N Gram matrix and not the D x N one: D is some ten thousand.
        dual = torch.linalg.pinv(z @ z.T, hermitian=True) @ z
        return bytes(gain.tobytes()) + b"".join(x.float().contiguous().numpy().tobytes() for x in (added, dual))

    @classmethod
    def _shown(
        cls, body: FieldReader, shape: tuple[int, int, int, int], keystream: Keystream, indices: range
    ) -> Iterator[Tensor]:
        gain, added, dual = _linear(body, shape)
        for i in indices:
            x = _apply(gain, added, dual, keystream.latent(i + 1).double())
            yield x.round().clamp(0, 255).to(torch.uint8)

    @classmethod
    def forward(cls, section: bytes, z: Tensor) -> Tensor:
        """F without rounding and clipping, differentiable: z (..., 3, H, W) float, 0..255; the same shape returns."""
        count, height, width, body = _parse(section)
        gain, added, dual = _linear(body, (count, 3, height, width))
        return _apply(gain, added.to(z.dtype), dual.to(z.dtype), z)

    @classmethod
    def differentiable(cls, section: bytes) -> Callable[[Tensor], Tensor]:
        """F with gradients: (B, 3, H, W) float latents in [0, 1) to frames around [0, 1], not rounded or clipped."""
        count, height, width, body = _parse(section)
        gain, added, dual = _linear(body, (count, 3, height, width))
        return lambda z: _apply(gain, added, dual, 256 * z.double()) / 255


def recipe(
    flow: type[Flow],
    generator: str | None = None,
    config: Any = None,
    start: Callable[[bytes, Shape], Tensor] = z0_of,
) -> Recipe:
    """How a planted pair is made. generator: a name of `planted.GENERATORS`, None for the control, ChaCha20."""

    def make(shape: Shape, z0: Tensor) -> Generator:
        return control_generator(shape) if generator is None else weak_generator(generator, shape)

    return Recipe(flow, make, config, start=start)


def shared_keystream() -> Recipe:
    """The ideal flow, all bundles of a key masked alike. Fault: the start latent forgets the bundle's salt."""
    return recipe(IdealFlow, start=start_without_salt)


def bundle_key(key: bytes, salt: bytes) -> bytes:
    """The 32 bytes that a start latent is derived from when a key seals a bundle with a salt.

    The first half is the key's alone, the second the salt's too: a derivation that is sound uses both.
    """
    half = BUNDLE_KEY_HALF
    return hashlib.sha256(b"key" + key).digest()[:half] + hashlib.sha256(b"salt" + key + salt).digest()[:half]


def start_without_salt(key: bytes, shape: Shape) -> Tensor:
    """z0 of the first half of a bundle's key: the planted fault of `shared_keystream`."""
    return z0_of(key[:BUNDLE_KEY_HALF].ljust(len(key), b"\0"), shape)


def planted_pair(
    flow: type[Flow], like: PairSubject, key: bytes, generator: str | None = None, config: Any = None
) -> PairSubject:
    """A planted flow that holds the video of another subject, under a key of its own."""
    name = flow.name if generator is None else f"{flow.name} after {PREFIX}{generator.removeprefix(PREFIX)}"
    return recipe(flow, generator, config).seal(name, like.frames, key, like.others)


def _parse(section: bytes) -> tuple[int, int, int, FieldReader]:
    """(frames, height, width, the body). Raises PayloadDamagedError or LimitError on anything else."""
    reader = FieldReader(section, "section of a planted flow")
    count, height, width = reader.u32(1, _MAX_FRAMES), reader.u16(1, _MAX_SIDE), reader.u16(1, _MAX_SIDE)
    reader.bounded(height * width, 1, _MAX_PIXELS)
    return count, height, width, reader


def _bytes_of(body: FieldReader, shape: tuple[int, ...], *, last: bool = True) -> Tensor:
    """The next bytes as uint8 of `shape`; nothing may be left if they are the last."""
    taken = bytearray(body.take(int(np.prod(shape))))
    if last:
        body.finish()
    return torch.frombuffer(taken, dtype=torch.uint8).reshape(shape)


def _floats_of(body: FieldReader, *shape: int) -> Tensor:
    """The next float32 numbers as float64 of `shape`. Raises PayloadDamagedError if one is not finite."""
    values = np.frombuffer(body.take(4 * int(np.prod(shape))), "<f4").astype(np.float64)
    if not np.isfinite(values).all():
        raise body.damaged("holds a number that is not finite")
    return torch.from_numpy(values).reshape(shape)


def _linear(body: FieldReader, shape: tuple[int, int, int, int]) -> tuple[float, Tensor, Tensor]:
    """(gain, U^T, V), the last two (N, D) float64."""
    count, size = shape[0], int(np.prod(shape[1:]))
    gain = float(_floats_of(body, 1)[0])
    added, dual = _floats_of(body, count, size), _floats_of(body, count, size)
    body.finish()
    return gain, added, dual


def _apply(gain: float, added: Tensor, dual: Tensor, z: Tensor) -> Tensor:
    flat = z.flatten(-3) - _MIDDLE
    return (gain * flat + (flat @ dual.T) @ added + _MIDDLE).reshape(z.shape)


def _to_bytes(values: Tensor) -> bytes:
    return bytes(values.contiguous().numpy().tobytes())


def _noise_of(z: Tensor) -> Tensor:
    """As many uniform bytes as a latent has, by ChaCha20 under its hash."""
    digest = hashlib.sha256(z.contiguous().numpy().tobytes()).digest()
    inner = ChaCha20Generator((1, 1, max(_SEED_BYTES, z.numel())), digest)
    return inner.next_latent(torch.zeros(inner.shape, dtype=torch.uint8)).view(-1)[: z.numel()].reshape(z.shape)
