"""Key slots: the bundle key, wrapped once for every key file or passphrase that opens the bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from neuralcipher.keys.keyfile import Key
from neuralcipher.keys.passphrase import Argon2Parameters, Passphrase
from neuralcipher.keys.subkeys import BundleKey, hkdf

Credential = Key | Passphrase

KEY_SALT_BYTES = 32
PASSPHRASE_SALT_BYTES = 16
WRAPPED_BYTES = 48

_LABEL_KEY = b"ncv1 slot key"
_LABEL_PASSPHRASE = b"ncv1 slot passphrase"
# A key-encryption key is used for one message only: the slot's salt makes it unique.
_NONCE = bytes(12)


@dataclass(frozen=True, slots=True)
class KeySlot:
    """The bundle key, wrapped for a key file. salt: 32 bytes. wrapped: 32 bytes and a 16-byte tag."""

    kind: ClassVar[str] = "key"
    salt: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class PassphraseSlot:
    """The bundle key, wrapped for a passphrase. salt: 16 bytes, for Argon2id and HKDF. wrapped: 48 bytes."""

    kind: ClassVar[str] = "passphrase"
    salt: bytes
    wrapped: bytes
    argon2: Argon2Parameters


Slot = KeySlot | PassphraseSlot


def slot_data(kind: str, salt: bytes, argon2: Argon2Parameters | None = None) -> bytes:
    """The associated data of a slot: canonical msgpack of every field but `wrapped`, names in order."""
    fields: dict[str, object] = {"kind": kind}
    if argon2 is not None:
        fields |= {"m_kib": argon2.m_kib, "p": argon2.p}
    fields["salt"] = salt
    if argon2 is not None:
        fields["t"] = argon2.t
    packed: bytes = msgpack.packb(fields)
    return packed


def seal_slot(credential: Credential, bundle_key: BundleKey, argon2: Argon2Parameters | None = None) -> Slot:
    """Wrap the bundle key for a key file or a passphrase, under a fresh salt.

    argon2: the cost for a passphrase, default Argon2Parameters(); a key file ignores it.
    """
    if isinstance(credential, Key):
        salt = os.urandom(KEY_SALT_BYTES)
        wrapped = _cipher(credential, salt, None).encrypt(_NONCE, bundle_key.buffer(), slot_data("key", salt))
        return KeySlot(salt, wrapped)
    argon2 = argon2 or Argon2Parameters()
    salt = os.urandom(PASSPHRASE_SALT_BYTES)
    data = slot_data("passphrase", salt, argon2)
    wrapped = _cipher(credential, salt, argon2).encrypt(_NONCE, bundle_key.buffer(), data)
    return PassphraseSlot(salt, wrapped, argon2)


def open_slot(slot: Slot, credential: Credential) -> BundleKey | None:
    """Return the bundle key, or None if the slot is of another kind, does not open, or is damaged."""
    if isinstance(slot, KeySlot) != isinstance(credential, Key):
        return None
    argon2 = slot.argon2 if isinstance(slot, PassphraseSlot) else None
    cipher = _cipher(credential, slot.salt, argon2)
    try:
        return BundleKey(cipher.decrypt(_NONCE, slot.wrapped, slot_data(slot.kind, slot.salt, argon2)))
    except (InvalidTag, ValueError):
        return None


def _cipher(credential: Credential, salt: bytes, argon2: Argon2Parameters | None) -> ChaCha20Poly1305:
    if isinstance(credential, Key):
        return ChaCha20Poly1305(hkdf(credential.buffer(), salt, _LABEL_KEY))
    stretched = credential.stretch(salt, argon2 or Argon2Parameters())
    return ChaCha20Poly1305(hkdf(stretched, salt, _LABEL_PASSPHRASE))
