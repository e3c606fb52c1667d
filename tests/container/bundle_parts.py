"""Bundles in memory, and bundles put together by hand from docs/format.md."""

from __future__ import annotations

import hmac
import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgpack
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.container.format import Source
from neuralcipher.keys import Argon2Parameters, BundleKey, Credential, Key
from neuralcipher.keys.subkeys import hkdf

CHEAP = Argon2Parameters(t=1, m_kib=8, p=1)
KEY = Key(bytes(range(32)))
OTHER = Key(bytes(range(1, 33)))
BUNDLE_KEY = BundleKey(bytes(range(50, 82)))
SALT = bytes(range(150, 182))
PAYLOAD_SALT = bytes(range(100, 132))
NAME = "x.ncv"
METADATA = {"name": "clip.mp4", "size": [64, 48], "audio": None, "exact": True}


def content(size: int) -> bytes:
    """Bytes that differ from chunk to chunk."""
    return (b"0123456789abcdef" + bytes(range(241)) * 17)[: size % 4096] + bytes(
        (index * 2_654_435_761 >> 13) & 0xFF for index in range(size - size % 4096)
    )


def sealed(*sections: bytes, credentials: tuple[Credential, ...] = (KEY,), aead: str = "chacha20-poly1305") -> bytes:
    file = io.BytesIO()
    writer = BundleWriter.create_sealed(file, credentials, aead=aead, argon2=CHEAP)
    for segment, data in enumerate(sections):
        writer.add_section("flow", segment, data)
    writer.finish(METADATA)
    return file.getvalue()


def bare(*sections: bytes) -> bytes:
    file = io.BytesIO()
    writer = BundleWriter.create_bare(file, KEY)
    for segment, data in enumerate(sections):
        writer.add_section("flow", segment, data)
    writer.finish(METADATA)
    return file.getvalue()


def opened(data: bytes) -> BundleReader:
    return BundleReader(Source(io.BytesIO(data), len(data), NAME), Path(NAME))


def read_all(data: bytes, *credentials: Credential) -> list[bytes]:
    reader = opened(data)
    reader.unlock(credentials or (KEY,))
    assert reader.metadata == METADATA
    return [reader.read_section(section) for section in reader.sections]


def header_length(data: bytes) -> int:
    return int.from_bytes(data[12:16], "little")


def payload_offset(data: bytes) -> int:
    return 48 + header_length(data)


def sealed_fields() -> dict[str, Any]:
    """The fields of a good sealed header for KEY and BUNDLE_KEY."""
    salt = bytes(range(200, 232))
    kek = ChaCha20Poly1305(hkdf(KEY.reveal(), salt, b"ncv1 slot key"))
    data = msgpack.packb({"kind": "key", "salt": salt})
    return {
        "aead": "chacha20-poly1305",
        "commit": hkdf(BUNDLE_KEY.reveal(), SALT, b"ncv1 commit"),
        "payload_salt": PAYLOAD_SALT,
        "salt": SALT,
        "slots": [{"kind": "key", "salt": salt, "wrapped": kek.encrypt(bytes(12), BUNDLE_KEY.reveal(), data)}],
    }


def with_header(packed: bytes, *, version: int = 1, suite: int = 1, payload: bytes = b"") -> bytes:
    """A bundle with this header, its check valid."""
    covered = b"\x89NCV\r\n\x1a\n" + version.to_bytes(2, "little") + suite.to_bytes(2, "little")
    covered += len(packed).to_bytes(4, "little") + packed
    if suite == 1:
        check = hmac.digest(hkdf(BUNDLE_KEY.reveal(), SALT, b"ncv1 header"), covered, "sha256")
    else:
        check = sha256(covered).digest()
    return covered + check + payload


def with_plaintext(plaintext: bytes) -> bytes:
    """A bundle for KEY whose payload is this plaintext, in valid chunks."""
    cipher = ChaCha20Poly1305(hkdf(BUNDLE_KEY.reveal(), PAYLOAD_SALT, b"ncv1 payload"))
    chunks = [plaintext[at : at + 65_536] for at in range(0, max(1, len(plaintext)), 65_536)]
    payload = b"".join(
        cipher.encrypt(index.to_bytes(11, "big") + bytes([index == len(chunks) - 1]), chunk, None)
        for index, chunk in enumerate(chunks)
    )
    return with_header(msgpack.packb(sealed_fields()), payload=payload)


def with_directory(directory: Any, body: bytes = b"", *, raw: bytes | None = None) -> bytes:
    """A bundle for KEY with this directory after `body`."""
    packed = msgpack.packb(directory) if raw is None else raw
    trailer = len(body).to_bytes(8, "little") + len(packed).to_bytes(8, "little")
    return with_plaintext(body + packed + trailer)
