"""The minimal reader, made from docs/format.md alone, must see what this package has written."""

from __future__ import annotations

import minimal_reader
import pytest
from bundle_parts import METADATA, bare, content, opened, sealed
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from neuralcipher.keys import Key, Passphrase, start_latent

SECRET = bytes(range(64, 96))
SECTIONS = [content(70_000), content(3), b"", content(131_072)]


def first_bytes(root: bytes, salt: bytes, segment: int) -> bytes:
    """Section 8: z_0 of a segment."""
    seed = minimal_reader.hkdf(root, salt, b"ncv1 z0" + segment.to_bytes(8, "little"))
    return Cipher(algorithms.ChaCha20(seed, bytes(16)), None).encryptor().update(bytes(60))


def check(metadata: object, sections: minimal_reader.Sections) -> None:
    assert metadata == METADATA
    assert [(entry["kind"], entry["segment"]) for entry, _ in sections] == [("flow", i) for i in range(len(SECTIONS))]
    assert [data for _, data in sections] == SECTIONS


@pytest.mark.parametrize("aead", ["chacha20-poly1305", "aes-256-gcm"])
@pytest.mark.parametrize("credential", [Key(SECRET), Passphrase("cafe\u0301")])
def test_sealed(credential: Key | Passphrase, aead: str) -> None:
    data = sealed(*SECTIONS, credentials=(credential,), aead=aead)
    check(*minimal_reader.read(data, SECRET if isinstance(credential, Key) else "caf\u00e9"))
    reader = opened(data)
    reader.unlock([credential])
    z = start_latent(reader.segment_seed(7), (3, 4, 5))
    assert z.tobytes() == first_bytes(reader.bundle_key.reveal(), reader.header.salt, 7)
    assert z[1, 2, 3] == z.tobytes()[(1 * 4 + 2) * 5 + 3]


def test_bare() -> None:
    data = bare(*SECTIONS)
    check(*minimal_reader.read(data, SECRET))
    reader = opened(data)
    reader.unlock([Key(SECRET)])
    z = start_latent(reader.segment_seed(7), (3, 4, 5))
    assert z.tobytes() == first_bytes(SECRET, reader.header.salt, 7)
