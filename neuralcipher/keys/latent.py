"""The start latent z0: where the key enters the neural cipher."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from neuralcipher.errors import LimitError, ShapeError
from neuralcipher.keys.subkeys import SegmentSeed

MAX_LATENT_BYTES = 1 << 30


def start_latent(seed: SegmentSeed, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Return z0, (C, H, W) uint8: the ChaCha20 keystream of the seed, zero nonce, from block 0, C order.

    A writable array of its own. Raises ShapeError on a size below 1, LimitError above 2**30 bytes.
    Source: RFC 8439, section 2.4.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ShapeError(f"a start latent needs three sizes of at least 1, not {shape}")
    count = math.prod(shape)
    if count > MAX_LATENT_BYTES:
        raise LimitError(f"a start latent of {count} bytes is above the limit of {MAX_LATENT_BYTES}")
    # pyca/cryptography takes the block counter and the nonce as one value of 16 bytes.
    encryptor = Cipher(algorithms.ChaCha20(seed.buffer(), bytes(16)), mode=None).encryptor()
    return np.frombuffer(bytearray(encryptor.update(bytes(count))), dtype=np.uint8).reshape(shape)
