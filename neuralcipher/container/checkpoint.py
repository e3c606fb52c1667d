"""Files of unfinished work, encrypted under the key of their bundle. Source: docs/format.md, section 14."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from neuralcipher.errors import PayloadDamagedError
from neuralcipher.keys import LABEL_CHECKPOINT, BundleKey, Key, derive
from neuralcipher.keys.subkeys import hkdf

CHECKPOINT_MAGIC = b"\x89NCC\r\n\x1a\n"
_SALT_BYTES = 32
_ONCE = bytes(12)


class CheckpointCipher:
    """Encrypts and opens the files of one checkpoint.

    root: the bundle key (sealed) or the key file (bare). salt: the header's. Every file has a key of its own, from a
    fresh salt, that encrypts once.
    """

    def __init__(self, root: BundleKey | Key, salt: bytes) -> None:
        self._key = derive(root, salt, LABEL_CHECKPOINT)

    def seal(self, name: str, data: bytes) -> bytes:
        """The file called `name`: magic, 32 bytes of salt, ciphertext and tag."""
        salt = os.urandom(_SALT_BYTES)
        return CHECKPOINT_MAGIC + salt + self._aead(name, salt).encrypt(_ONCE, data, None)

    def open(self, name: str, stored: bytes) -> bytes:
        """What was sealed under this name. Raises PayloadDamagedError for another key, another name, and damage."""
        start = len(CHECKPOINT_MAGIC)
        salt, rest = stored[start : start + _SALT_BYTES], stored[start + _SALT_BYTES :]
        if stored.startswith(CHECKPOINT_MAGIC) and len(salt) == _SALT_BYTES:
            try:
                return self._aead(name, salt).decrypt(_ONCE, rest, None)
            except (InvalidTag, ValueError):
                pass
        raise PayloadDamagedError(f"the file {name} of the checkpoint is damaged, or of another key")

    def _aead(self, name: str, salt: bytes) -> ChaCha20Poly1305:
        return ChaCha20Poly1305(hkdf(self._key, salt, LABEL_CHECKPOINT + b" " + name.encode()))
