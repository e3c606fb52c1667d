"""Files of unfinished work: opened under their name with the key of their bundle, and by nothing else."""

from __future__ import annotations

import os

import pytest
from bundle_parts import BUNDLE_KEY, KEY, OTHER
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from neuralcipher.container.checkpoint import CheckpointCipher
from neuralcipher.errors import PayloadDamagedError
from neuralcipher.keys import BundleKey, Key
from neuralcipher.keys.subkeys import hkdf

SALT = bytes(range(32))
MAGIC = b"\x89NCC\r\n\x1a\n"


@pytest.mark.parametrize("root", [BUNDLE_KEY, KEY])
def test_a_file_as_the_format_text_says(root: BundleKey | Key) -> None:
    """docs/format.md, section 14, put together by hand."""
    cipher = CheckpointCipher(root, SALT)
    stored = cipher.seal("0.section", b"weights")
    salt = stored[8:40]
    key = hkdf(hkdf(root.reveal(), SALT, b"ncv1 checkpoint"), salt, b"ncv1 checkpoint 0.section")
    assert stored == MAGIC + salt + ChaCha20Poly1305(key).encrypt(bytes(12), b"weights", None)
    assert cipher.open("0.section", stored) == b"weights"
    assert cipher.open("1", cipher.seal("1", b"")) == b""
    assert cipher.seal("0.section", b"weights")[8:40] != salt


def test_whatever_is_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "urandom", lambda count: asked.append(count) or bytes(count))
    cipher = CheckpointCipher(BUNDLE_KEY, SALT)
    stored = cipher.seal("a", b"xyz")
    assert asked == [32]
    changed = [bytes([*stored[:at], stored[at] ^ 1, *stored[at + 1 :]]) for at in range(len(stored))]
    for bad in (*changed, *(stored[:end] for end in range(len(stored))), stored + b"\0", b""):
        with pytest.raises(PayloadDamagedError) as caught:
            cipher.open("a", bad)
        assert caught.value.message == "the file a of the checkpoint is damaged, or of another key"
    for other in (CheckpointCipher(OTHER, SALT), CheckpointCipher(BUNDLE_KEY, bytes(32))):
        with pytest.raises(PayloadDamagedError):
            other.open("a", stored)
    with pytest.raises(PayloadDamagedError):
        cipher.open("b", stored)
