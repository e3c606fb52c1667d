"""The default generator: a neural additive coupling over Z_256, exact, invertible, near the speed of its convolutions.

Exact because its activations have 8 significant bits and its weights 3: see `integer_ops`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.coding.binary import check_version
from neuralcipher.errors import CheckFailedError, LimitError, PayloadDamagedError, ShapeError, UsageError
from neuralcipher.generators import checks
from neuralcipher.generators.base import Shape, check_shape, flatten_latents, register
from neuralcipher.generators.expand import SEED_BYTES, check_seed, expand, permutation, small_integers
from neuralcipher.generators.integer_ops import ROUNDER, ROUNDER_FLOAT, exact_convolve

MIN_STATE_BYTES = 256
MAX_ROUNDS = 64
MAX_HIDDEN = 64
MAX_ATTEMPTS = 8
MAX_INDEX_BYTES = 1 << 29
"""Rounds times bytes of the latent, which its permutations take in proportion: 8 rounds of the largest latent."""

_VERSION = 1
_LAYOUT = struct.Struct("<BBBB32s")

_MAX_CHANNELS = 256

_MAGNITUDE = 7
"""Weights are in -7..7: the largest sum, 9 * 256 channels * 255 * 7, is below 2**22."""

_MULTIPLIER = 0x9E3779B2 - (1 << 32)
"""The even number beside 2**32 / golden ratio: v + K v**2 with K even permutes Z_2**32 (Rivest, 2001)."""

_DILATION = 3
"""Of the second convolution: 3x3 after 3x3 with dilation 3 covers 9x9 without holes."""

_PAD = 1 + _DILATION
_SPREAD = (2 * _PAD + 1) ** 2


@dataclass(frozen=True, slots=True)
class FeistelConfig:
    """Additive coupling generator over Z_256.

    rounds: couplings per step; attacks tell up to 4 from chance and none from 6 on (docs/security-evaluation.md),
    default 8.
    hidden: channels of the coupling network, default 8, as many as the paper's g has filters.
    """

    rounds: int = 8
    hidden: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.rounds <= MAX_ROUNDS:
            raise UsageError(f"feistel takes 1 to {MAX_ROUNDS} rounds, not {self.rounds}")
        if not 1 <= self.hidden <= MAX_HIDDEN:
            raise UsageError(f"feistel takes 1 to {MAX_HIDDEN} hidden channels, not {self.hidden}")


@dataclass(frozen=True, slots=True)
class Grid:
    """How a half of `size` bytes is folded: (height, width, channels), the first bytes repeated to fill it.

    word: bytes that the permutation keeps together: 2 where the size allows, for a smaller index.
    """

    channels: int
    height: int
    width: int
    size: int
    word: int

    @classmethod
    def fold(cls, size: int) -> Grid:
        """Fewest channels that let one changed byte reach the whole half in two couplings.

        A byte reaches 9x9 pixels of c bytes; scattered by words, these reach 81 pixels each, so that 6561 c / word
        pixels are hit, with repeats, among size / c. Eight hits a pixel leave exp(-8) = 0.03 % of them untouched.
        """
        word = 1 if size % 2 else 2
        channels = 8
        while _SPREAD**2 * channels**2 < 8 * word * size and channels < _MAX_CHANNELS:
            channels *= 2
        pixels = -(-size // channels)
        heights = range(max(1, math.isqrt(pixels) // 2), math.isqrt(pixels) + 1)
        height = min(heights, key=lambda h: ((h + 2 * _PAD) * (-(-pixels // h) + 2 * _PAD), h))
        return cls(channels, height, -(-pixels // height), size, word)

    def gather(self, order: NDArray[np.int64]) -> NDArray[np.int32]:
        """Word index for every word of the padded grid (height + 8, width + 8, channels): fold, permute, wrap."""
        per_pixel = self.channels // self.word
        rows = np.arange(-_PAD, self.height + _PAD) % self.height
        columns = np.arange(-_PAD, self.width + _PAD) % self.width
        pixel = rows[:, None] * self.width + columns
        cell = (pixel[:, :, None] * per_pixel + np.arange(per_pixel)).reshape(-1)
        gathered: NDArray[np.int32] = order[cell % len(order)].astype(np.int32)
        return gathered


@dataclass(slots=True)
class Coupling:
    """One round's public function U: Z_256^size -> Z_256^size.

    gather: (words of the padded grid,) int32. first: (hidden, channels, 3, 3), second: (channels, hidden, 3, 3),
    integers in -7..7 carried in the compute dtype. first_rounder, second_rounder: 1.5 * 2**23, one a filter.
    """

    gather: Tensor
    first: Tensor
    second: Tensor
    first_rounder: Tensor
    second_rounder: Tensor


@register("feistel")
class FeistelGenerator:
    """g: rounds of b += U(a) mod 256, a and b changing roles, with U two small integer convolutions.

    U(a) folds a public permutation of a into a (channels, height, width) grid with circular edges, takes
    h = conv3x3(a), t = top byte of v + K v**2 mod 2**32 with v = h + 0x4B400000, and u = conv3x3(t) // 16 mod 256.
    A permutation of the state for any U: it cannot collapse, and whoever has a state can step back.
    Source: Neural Video Encoding, eq. 5; NICE (Dinh et al., 2014) for the coupling; RC6 for the quadratic.
    """

    name: ClassVar[str] = "feistel"

    def __init__(
        self,
        shape: Shape,
        seed: bytes,
        config: FeistelConfig | None = None,
        *,
        counter: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Derive weights and permutations; runs no check, unlike `create`.

        shape: (C, H, W), an even number of bytes, 256 or more. counter: which of the weights derived from `seed`.
        dtype: float32 or float64, which give the same bits. Raises ShapeError, LimitError, UsageError.
        """
        self.shape = check_shape(shape, smallest=MIN_STATE_BYTES)
        size = shape[0] * shape[1] * shape[2]
        if size % 2:
            raise ShapeError(f"feistel needs an even number of bytes to halve, not {size}")
        if dtype not in (torch.float32, torch.float64):
            raise UsageError("feistel computes in float32 or float64")
        self.config = config if config is not None else FeistelConfig()
        if self.config.rounds * size > MAX_INDEX_BYTES:
            raise LimitError(
                f"feistel with {self.config.rounds} rounds over {size} bytes is above the limit of {MAX_INDEX_BYTES}",
                hint="use fewer rounds, or smaller pictures",
            )
        self.seed = check_seed(seed)
        self.counter = counter
        self.dtype = dtype
        self.grid = Grid.fold(size // 2)
        derived = expand(self.seed, f"feistel weights {counter}", SEED_BYTES)
        self.couplings = [self._derive(derived, index) for index in range(self.config.rounds)]

    @classmethod
    def create(
        cls,
        shape: Shape,
        *,
        seed: bytes,
        z0: Tensor,
        progress: Callable[[float], None],
        config: FeistelConfig | None = None,
    ) -> FeistelGenerator:
        """Derive generators from `seed` until one passes its checks; z0 is not looked at.

        Raises CheckFailedError if none of 8 passes, as with fewer than 4 rounds.
        """
        for counter in range(MAX_ATTEMPTS):
            generator = cls(shape, seed, config, counter=counter)
            if generator._passes():
                progress(1.0)
                return generator
            progress((counter + 1) / (MAX_ATTEMPTS + 1))
        raise CheckFailedError(
            f"no feistel generator with {generator.config.rounds} rounds passed its checks for shape {generator.shape}",
            hint="4 rounds or more are needed for full diffusion",
        )

    @classmethod
    def from_bytes(cls, data: bytes, shape: Shape) -> FeistelGenerator:
        """Read what `to_bytes` wrote. Raises UnsupportedError for another version, PayloadDamagedError on anything
        else, ShapeError for a wrong shape."""
        check_version(data[0] if data else _VERSION, _VERSION, "feistel generator section")
        if len(data) != _LAYOUT.size:
            raise PayloadDamagedError(f"the feistel generator section has {len(data)} bytes, not {_LAYOUT.size}")
        _, rounds, hidden, counter, seed = _LAYOUT.unpack(data)
        if not 1 <= rounds <= MAX_ROUNDS or not 1 <= hidden <= MAX_HIDDEN or counter >= MAX_ATTEMPTS:
            raise PayloadDamagedError("the feistel generator section is damaged")
        return cls(shape, seed, FeistelConfig(rounds, hidden), counter=counter)

    def to_bytes(self) -> bytes:
        """36 bytes: version, rounds, hidden, counter, seed; the weights are derived again on reading."""
        return _LAYOUT.pack(_VERSION, self.config.rounds, self.config.hidden, self.counter, self.seed)

    def next_latent(self, z: Tensor) -> Tensor:
        """Advance the keystream by one latent: z_{i+1} = g(z_i).

        z: (..., C, H, W) uint8. Returns the same shape and dtype, bit-identical on every device.
        Raises ShapeError if z does not fit the configuration.
        """
        return self._walk(z, forward=True)

    def previous_latent(self, z: Tensor) -> Tensor:
        """Step back exactly: previous_latent(next_latent(z)) == z. Same shapes, dtypes and errors as `next_latent`."""
        return self._walk(z, forward=False)

    def to(self, device: torch.device) -> FeistelGenerator:
        """Move weights and permutations to `device`; returns self."""
        for coupling in self.couplings:
            for part in fields(coupling):
                setattr(coupling, part.name, getattr(coupling, part.name).to(device))
        return self

    def coupling_output(self, half: Tensor, index: int) -> Tensor:
        """U of round `index`. half: (batch, size / 2) uint8, contiguous; returns the same shape and dtype."""
        grid, coupling = self.grid, self.couplings[index]
        words = half.view(_WORD_DTYPES[grid.word])
        # One row at a time: index_select along the only axis is several times faster than along the second.
        rows = [row.index_select(0, coupling.gather) for row in words.unbind()]
        x = (rows[0] if len(rows) == 1 else torch.cat(rows)).view(torch.uint8)
        x = x.view(-1, grid.height + 2 * _PAD, grid.width + 2 * _PAD, grid.channels).to(self.dtype)
        v = exact_convolve(x.permute(0, 3, 1, 2), coupling.first, coupling.first_rounder)
        v.addcmul_(v, v, value=_MULTIPLIER)
        v >>= 24
        u = exact_convolve(v.to(self.dtype), coupling.second, coupling.second_rounder, dilation=_DILATION)
        u >>= 4
        return u.to(torch.uint8).permute(0, 2, 3, 1).reshape(half.shape[0], -1)[:, : grid.size]

    def differentiable(self, z: Tensor) -> Tensor:
        """`next_latent` with straight-through gradients. z: (B, C, H, W) float64, whole numbers in 0..255.

        A sum modulo 256 has the slope 1, a shift that of its division, and the quadratic the difference to its next
        value: of the least size modulo 2**32, up to 128, so that gradients grow past float32 within a step.
        """
        halves = list(z.double().flatten(1).chunk(2, dim=1))
        with torch.autocast(z.device.type, enabled=False):
            for index in range(len(self.couplings)):
                total = halves[1 - index % 2] + self._change_through(halves[index % 2], index)
                halves[1 - index % 2] = total - 256 * torch.floor(total.detach() / 256)
        return torch.cat(halves, dim=1).reshape(z.shape)

    def _change_through(self, half: Tensor, index: int) -> Tensor:
        """`coupling_output` on floats. half: (batch, size / 2), whole numbers in 0..255."""
        grid, coupling = self.grid, self.couplings[index]
        words = half.reshape(len(half), -1, grid.word).index_select(1, coupling.gather)
        x = words.reshape(-1, grid.height + 2 * _PAD, grid.width + 2 * _PAD, grid.channels).permute(0, 3, 1, 2)
        h = F.conv2d(x, coupling.first.double())
        with torch.no_grad():
            v = h.to(torch.int32) + ROUNDER
            top = ((v + _MULTIPLIER * v * v) >> 24).double()
            slope = (1 + _MULTIPLIER * (2 * v + 1)).double() / 2**24
        t = top + slope * (h - h.detach())
        sums = F.conv2d(t, coupling.second.double(), dilation=_DILATION) / 16
        u = sums + (torch.floor(sums) - sums).detach()
        u = u - 256 * torch.floor(u.detach() / 256)
        return u.permute(0, 2, 3, 1).reshape(len(half), -1)[:, : grid.size]

    @torch.no_grad()
    def _walk(self, z: Tensor, *, forward: bool) -> Tensor:
        flat = flatten_latents(z, self.shape)
        halves = [part.clone(memory_format=torch.contiguous_format) for part in flat.chunk(2, dim=1)]
        rounds = range(len(self.couplings))
        # A caller's autocast would compute the convolutions in bfloat16 and round their sums.
        with torch.autocast(z.device.type, enabled=False):
            for index in rounds if forward else reversed(rounds):
                change = self.coupling_output(halves[index % 2], index)
                target = halves[1 - index % 2]
                target += change if forward else -change
        return torch.cat(halves, dim=1).reshape(z.shape)

    def _derive(self, seed: bytes, index: int) -> Coupling:
        grid, hidden = self.grid, self.config.hidden
        order = permutation(seed, f"permutation {index}", grid.size // grid.word)
        first = small_integers(seed, f"first {index}", (hidden, grid.channels, 3, 3), _MAGNITUDE)
        second = small_integers(seed, f"second {index}", (grid.channels, hidden, 3, 3), _MAGNITUDE)
        return Coupling(
            torch.from_numpy(grid.gather(order)),
            torch.from_numpy(first).to(self.dtype).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(second).to(self.dtype).contiguous(memory_format=torch.channels_last),
            torch.full((hidden,), ROUNDER_FLOAT, dtype=self.dtype),
            torch.full((grid.channels,), ROUNDER_FLOAT, dtype=self.dtype),
        )

    def _passes(self) -> bool:
        """Avalanche, uniformity and a short noncyclic walk, from a public latent: z0 must not steer the weights."""
        size = 2 * self.grid.size
        z = torch.frombuffer(bytearray(expand(self.seed, "feistel check", size)), dtype=torch.uint8).view(self.shape)
        if not checks.avalanche(self, z, flips=8).ok or not checks.noncyclic(self, z, 16).ok:
            return False
        sample = bytearray()
        while len(sample) < 1 << 16:
            z = self.next_latent(z)
            sample += z.numpy().tobytes()
        return checks.uniformity(bytes(sample)).p_value > 1e-6

    def __repr__(self) -> str:
        return f"FeistelGenerator(shape={self.shape}, rounds={self.config.rounds}, hidden={self.config.hidden})"


_WORD_DTYPES = {1: torch.uint8, 2: torch.int16}
