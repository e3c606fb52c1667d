"""A second reader, written from docs/format.md alone: it must see what the first one sees."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any

import msgpack
import pytest
from bundle_parts import METADATA, bare, content, opened, sealed
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from neuralcipher.keys import Key, Passphrase, start_latent

SECRET = bytes(range(64, 96))
SECTIONS = [content(70_000), content(3), b"", content(131_072)]


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def read_plaintext(plain: bytes) -> tuple[Any, dict[tuple[str, int], bytes]]:
    at, length = number(plain[-16:-8]), number(plain[-8:])
    assert at + length + 16 == len(plain)
    directory = msgpack.unpackb(plain[at : at + length])
    assert list(directory) == ["metadata", "sections", "version"]
    return directory["metadata"], {
        (entry["kind"], entry["segment"]): plain[entry["offset"] : entry["offset"] + entry["length"]]
        for entry in directory["sections"]
    }


def read_header(data: bytes) -> tuple[bytes, dict[str, Any], bytes, bytes]:
    assert data[:8].hex() == "894e43560d0a1a0a"
    assert number(data[8:10]) == 1
    end = 16 + number(data[12:16])
    return data[:end], msgpack.unpackb(data[16:end]), data[end : end + 32], data[end + 32 :]


def read_sealed(data: bytes, secret: bytes) -> tuple[bytes, bytes, Any, Any]:
    covered, header, mac, payload = read_header(data)
    (slot,) = header["slots"]
    if slot["kind"] == "passphrase":
        cost = {"iterations": slot["t"], "memory_cost": slot["m_kib"], "lanes": slot["p"]}
        secret = Argon2id(salt=slot["salt"], length=32, **cost).derive(secret)
    kek = hkdf(secret, slot["salt"], b"ncv1 slot " + slot["kind"].encode())
    fields = {name: slot[name] for name in sorted(slot) if name != "wrapped"}
    bundle_key = ChaCha20Poly1305(kek).decrypt(bytes(12), slot["wrapped"], msgpack.packb(fields))
    salt = header["salt"]
    assert header["commit"] == hkdf(bundle_key, salt, b"ncv1 commit")
    assert mac == hmac.digest(hkdf(bundle_key, salt, b"ncv1 header"), covered, "sha256")
    aead = {"chacha20-poly1305": ChaCha20Poly1305, "aes-256-gcm": AESGCM}[header["aead"]]
    cipher = aead(hkdf(bundle_key, salt, b"ncv1 payload"))
    chunks = [payload[at : at + 65_552] for at in range(0, len(payload), 65_552)]
    plain = b"".join(
        cipher.decrypt(index.to_bytes(11, "big") + bytes([index == len(chunks) - 1]), chunk, None)
        for index, chunk in enumerate(chunks)
    )
    return bundle_key, salt, *read_plaintext(plain)


def first_bytes(root: bytes, salt: bytes, segment: int) -> bytes:
    seed = hkdf(root, salt, b"ncv1 z0" + segment.to_bytes(8, "little"))
    return Cipher(algorithms.ChaCha20(seed, bytes(16)), None).encryptor().update(bytes(60))


@pytest.mark.parametrize("aead", ["chacha20-poly1305", "aes-256-gcm"])
@pytest.mark.parametrize("credential", [Key(SECRET), Passphrase("cafe\u0301")])
def test_sealed(credential: Key | Passphrase, aead: str) -> None:
    data = sealed(*SECTIONS, credentials=(credential,), aead=aead)
    secret = SECRET if isinstance(credential, Key) else b"caf\xc3\xa9"
    bundle_key, salt, metadata, sections = read_sealed(data, secret)
    assert metadata == METADATA
    assert sections == {("flow", index): section for index, section in enumerate(SECTIONS)}
    reader = opened(data)
    reader.unlock([credential])
    z = start_latent(reader.segment_seed(7), (3, 4, 5))
    assert z.tobytes() == first_bytes(bundle_key, salt, 7)
    assert z[1, 2, 3] == z.tobytes()[(1 * 4 + 2) * 5 + 3]


def test_bare() -> None:
    data = bare(*SECTIONS)
    covered, header, check, payload = read_header(data)
    assert check == sha256(covered).digest()
    assert payload[-32:] == sha256(data[:-32]).digest()
    metadata, sections = read_plaintext(payload[:-32])
    assert metadata == METADATA
    assert sections == {("flow", index): section for index, section in enumerate(SECTIONS)}
    reader = opened(data)
    reader.unlock([Key(SECRET)])
    z = start_latent(reader.segment_seed(7), (3, 4, 5))
    assert z.tobytes() == first_bytes(SECRET, header["salt"], 7)
