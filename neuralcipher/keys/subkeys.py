"""The bundle key and what is derived from it: one label, one use."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from neuralcipher.errors import UsageError
from neuralcipher.keys.keyfile import Key
from neuralcipher.keys.secret import SECRET_BYTES, Secret

LABEL_HEADER = b"ncv1 header"
LABEL_PAYLOAD = b"ncv1 payload"
LABEL_COMMIT = b"ncv1 commit"
LABEL_Z0 = b"ncv1 z0"
LABEL_CHECKPOINT = b"ncv1 checkpoint"

MAX_SEGMENT = 2**64 - 1


class BundleKey(Secret):
    """The 32 random bytes that every subkey of one bundle comes from; each slot wraps them."""

    __slots__ = ()

    @classmethod
    def generate(cls) -> BundleKey:
        """Draw a new bundle key from the operating system."""
        return cls(os.urandom(SECRET_BYTES))


class SegmentSeed(Secret):
    """The 32 bytes that give one segment its start latent."""

    __slots__ = ()


def hkdf(secret: bytes | bytearray, salt: bytes, info: bytes, length: int = SECRET_BYTES) -> bytes:
    """HKDF-SHA-256, extract and expand. Source: RFC 5869."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def derive(root: BundleKey | Key, salt: bytes, label: bytes) -> bytes:
    """Return the 32-byte subkey of a bundle for `label`, one of the LABEL constants; salt: the header's.

    root: the bundle key; of a bare bundle, which has only the label of checkpoints, the key file.
    """
    return hkdf(root.buffer(), salt, label)


def segment_seed(root: Key | BundleKey, salt: bytes, segment: int) -> SegmentSeed:
    """Return the seed of a segment's z0: label "ncv1 z0" and the segment number as a little-endian u64.

    root: the bundle key (sealed) or the key file (bare). segment: 0..2**64-1, else UsageError.
    """
    if not 0 <= segment <= MAX_SEGMENT:
        raise UsageError(f"segment {segment} is not in 0..2**64-1", hint="segments count from 0")
    return SegmentSeed(hkdf(root.buffer(), salt, LABEL_Z0 + segment.to_bytes(8, "little")))
