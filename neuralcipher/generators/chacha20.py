"""A standard keystream behind the generator interface: the reference, and the control that every test must pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from torch import Tensor

from neuralcipher.coding.binary import check_version
from neuralcipher.errors import PayloadDamagedError
from neuralcipher.generators.base import Shape, check_shape, flatten_latents, register
from neuralcipher.generators.expand import SEED_BYTES, check_seed

_DOMAIN = b"neuralcipher chacha20 generator 1"
_VERSION = 1
_KEY_BYTES = 32


@register("chacha20")
class ChaCha20Generator:
    """g(z) = ChaCha20 keystream under the key SHA-256(domain || seed || z), nonce and counter zero. Not neural.

    One state, one key: a key is used for a single latent, so the zero nonce never repeats under a key.
    Source: RFC 8439 (ChaCha20), FIPS 180-4 (SHA-256).
    """

    name: ClassVar[str] = "chacha20"

    def __init__(self, shape: Shape, seed: bytes) -> None:
        """shape: (C, H, W), at least 32 bytes in all, so that the state holds a key. seed: 32 public bytes."""
        self.shape = check_shape(shape, smallest=_KEY_BYTES)
        self._seed = check_seed(seed)
        self._prefix = hashlib.sha256(_DOMAIN + self._seed)
        self._zeros = bytes(shape[0] * shape[1] * shape[2])

    @classmethod
    def create(cls, shape: Shape, *, seed: bytes, z0: Tensor, progress: Callable[[float], None]) -> ChaCha20Generator:
        """Make the generator; z0 is not looked at. Raises ShapeError for a latent below 32 bytes."""
        generator = cls(shape, seed)
        progress(1.0)
        return generator

    @classmethod
    def from_bytes(cls, data: bytes, shape: Shape) -> ChaCha20Generator:
        """Read what `to_bytes` wrote: a version byte and the seed. Raises UnsupportedError, PayloadDamagedError."""
        check_version(data[0] if data else _VERSION, _VERSION, "chacha20 generator section")
        if len(data) != 1 + SEED_BYTES:
            raise PayloadDamagedError("the chacha20 generator section is damaged")
        return cls(shape, data[1:])

    def to_bytes(self) -> bytes:
        """Version byte, then the 32-byte public seed."""
        return bytes([_VERSION]) + self._seed

    def next_latent(self, z: Tensor) -> Tensor:
        """Advance by one step. z: (..., C, H, W) uint8; the same shape, dtype and device come back.

        Raises ShapeError if z does not fit.
        """
        rows = flatten_latents(z, self.shape).cpu()
        out = np.empty(tuple(rows.shape), dtype=np.uint8)
        for source, target in zip(rows.numpy(), out, strict=True):
            key = self._prefix.copy()
            key.update(np.ascontiguousarray(source).data)
            encryptor = Cipher(ChaCha20(key.digest(), bytes(16)), mode=None).encryptor()
            encryptor.update_into(self._zeros, target.data)
        return torch.from_numpy(out).reshape(z.shape).to(z.device)

    def to(self, device: torch.device) -> ChaCha20Generator:
        """Nothing to move: the work is done on the CPU and the result goes to the device of z."""
        return self

    def __repr__(self) -> str:
        return f"ChaCha20Generator(shape={self.shape})"
