"""Key files, passphrases, slots and subkeys."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import traceback
from pathlib import Path

import msgpack
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher import keys
from neuralcipher.errors import (
    KeyFileError,
    LimitError,
    NeuralCipherError,
    OutputExistsError,
    ShapeError,
    UsageError,
)
from neuralcipher.files import BUNDLE_MAGIC
from neuralcipher.keys import (
    Argon2Parameters,
    BundleKey,
    Key,
    KeySlot,
    Passphrase,
    PassphraseSlot,
    SegmentSeed,
)
from neuralcipher.keys.slots import slot_data
from neuralcipher.keys.subkeys import hkdf

CHEAP = Argon2Parameters(t=1, m_kib=8, p=1)
SECRET = bytes(range(100, 132))


def test_key_file_round_trip(tmp_path: Path) -> None:
    key = Key.generate()
    path = tmp_path / "k.bin"
    key.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == 32
    assert Key.read(path) == key
    assert Key.generate() != key
    with pytest.raises(OutputExistsError):
        Key.generate().write(path)
    assert Key.read(path) == key
    Key(SECRET).write(path, force=True)
    assert Key.read(path) == Key(SECRET)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must have 32 bytes and has 0"),
        (bytes(31), "must have 32 bytes and has 31"),
        (bytes(33), "must have 32 bytes and has more"),
        (bytes(10_000), "must have 32 bytes and has more"),
        (BUNDLE_MAGIC + bytes(24), "is a bundle, not a key file"),
        (BUNDLE_MAGIC + bytes(1_000), "is a bundle, not a key file"),
    ],
)
def test_bad_key_files(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "k.bin"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=sentence) as caught:
        Key.read(path)
    assert caught.value.exit_code == 4
    assert "k.bin" in caught.value.message
    assert caught.value.hint


def test_absent_key_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        Key.read(tmp_path / "absent")
    with pytest.raises(UsageError, match="is a folder, not a key file"):
        Key.read(tmp_path)


def test_key_from_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, SECRET)
    os.close(writer)
    try:
        assert Key.read(Path(f"/dev/fd/{reader}")) == Key(SECRET)
    finally:
        os.close(reader)


def test_warning_about_an_open_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "k.bin"
    Key.generate().write(path)
    assert keys.key_file_warning(path) is None
    assert keys.key_file_warning(tmp_path / "absent") is None
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        assert "chmod 600" in (keys.key_file_warning(path) or "")
        assert "the passphrase file" in (keys.key_file_warning(path, "passphrase file") or "")
    path.chmod(0o600)
    if os.geteuid() == 0:
        assert keys.key_file_warning(path) is None
        monkeypatch.setattr(os, "geteuid", lambda: 54_321)
        assert keys.key_file_warning(path) is None  # root reads everything anyway
        os.chown(path, 12_345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    for mode in (0o600, 0o644):  # whose it is matters more than who else can read it
        path.chmod(mode)
        assert "belongs to another user" in (keys.key_file_warning(path) or "")


def test_secrets_do_not_show_themselves() -> None:
    passphrase = Passphrase("correct horse")
    secrets = [Key(SECRET), BundleKey(SECRET), SegmentSeed(SECRET), passphrase]
    for secret in secrets:
        for text in (repr(secret), str(secret), f"{secret}", repr([secret])):
            assert "hidden" in text
            assert "horse" not in text
            assert "defg" not in text  # SECRET in ASCII
        for leak in (pickle.dumps, copy.copy, copy.deepcopy, hash):
            with pytest.raises(TypeError):
                leak(secret)
    assert "defg" not in repr(keys.seal_slot(Key(SECRET), BundleKey(SECRET)))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_no_exception_holds_a_secret(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes") as caught:
        Key(b"d" * length)
    assert "ddd" not in "".join(traceback.format_exception_only(caught.value))
    with pytest.raises(UsageError) as refused:
        Passphrase("horse \ud800")
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert "horse" not in refused.value.message


def test_equality_is_of_type_and_bytes() -> None:
    assert Key(SECRET) == Key(SECRET)
    assert Key(SECRET) != Key(bytes(32))
    assert Key(SECRET) != BundleKey(SECRET)
    assert Key(SECRET) != SECRET
    assert Passphrase("a") == Passphrase("a")
    assert Passphrase("a") != Passphrase("b")
    assert Passphrase("a") != "a"


def test_passphrases_are_normalised() -> None:
    assert Passphrase("h\u00e9") == Passphrase("he\u0301")
    assert Passphrase("\ufb01") != Passphrase("fi")  # NFC, not NFKC


@pytest.mark.parametrize(("text", "sentence"), [("", "is empty"), ("é" * 32_769, "longer"), ("\udc80", "valid")])
def test_passphrases_refused(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Passphrase(text)


def test_passphrase_files(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    for content, text in [(b"a b\n", "a b"), (b"a b\r\n", "a b"), (b"a b", "a b"), (b" a ", " a ")]:
        path.write_bytes(content)
        assert Passphrase.read(path) == Passphrase(text)
    for content, sentence in [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\nb\n", "more than one line"),
        (b"\xff", "not UTF-8"),
        (b"a" * 70_000, "longer"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UsageError, match=sentence):
            Passphrase.read(path)
    with pytest.raises(UsageError, match=r"the passphrase file .* does not exist"):
        Passphrase.read(tmp_path / "absent")


@pytest.mark.parametrize(
    ("t", "m_kib", "p", "error"),
    [
        (17, 64, 1, LimitError),
        (1, 2**20 + 1, 1, LimitError),
        (1, 2**20, 17, LimitError),
        (0, 64, 1, UsageError),
        (1, 64, 0, UsageError),
        (1, 31, 4, UsageError),
        (-1, 64, 1, UsageError),
    ],
)
def test_argon2_limits(t: int, m_kib: int, p: int, error: type[NeuralCipherError]) -> None:
    with pytest.raises(error):
        Argon2Parameters(t, m_kib, p)


def test_argon2_defaults_are_those_of_the_rfc() -> None:
    assert Argon2Parameters() == Argon2Parameters(t=3, m_kib=64 * 1024, p=4)
    assert Argon2Parameters(16, 2**20, 16).t == 16


@settings(max_examples=30)
@given(secret=st.binary(min_size=32, max_size=32), text=st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_slot_opens_with_its_credential_alone(secret: bytes, text: str) -> None:
    bundle_key = BundleKey(secret)
    for right, wrong, other in [
        (Key(secret), Key(bytes(byte ^ 1 for byte in secret)), Passphrase(text)),
        (Passphrase(text), Passphrase(text + "x"), Key(secret)),
    ]:
        slot = keys.seal_slot(right, bundle_key, CHEAP)
        assert keys.open_slot(slot, right) == bundle_key
        assert keys.open_slot(slot, wrong) is None
        assert keys.open_slot(slot, other) is None
        assert secret not in slot.wrapped
        assert slot != keys.seal_slot(right, bundle_key, CHEAP)  # a fresh salt every time


@pytest.mark.parametrize("credential", [Key(SECRET), Passphrase("p")])
def test_every_bit_of_a_slot_counts(credential: keys.Credential) -> None:
    slot = keys.seal_slot(credential, BundleKey(SECRET), CHEAP)
    cost = () if isinstance(slot, KeySlot) else (slot.argon2,)
    for field in ("salt", "wrapped"):
        good: bytes = getattr(slot, field)
        for bit in range(8 * len(good)):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            parts = {"salt": slot.salt, "wrapped": slot.wrapped, field: bytes(bad)}
            assert keys.open_slot(type(slot)(parts["salt"], parts["wrapped"], *cost), credential) is None
    if isinstance(slot, PassphraseSlot):
        for other in (Argon2Parameters(2, 8, 1), Argon2Parameters(1, 9, 1)):
            assert keys.open_slot(PassphraseSlot(slot.salt, slot.wrapped, other), credential) is None


def test_slots_as_the_format_text_says() -> None:
    """docs/format.md, "Key slots", put together by hand."""
    bundle_key = BundleKey(bytes(range(32)))
    slot = keys.seal_slot(Key(SECRET), bundle_key)
    kek = hkdf(SECRET, slot.salt, b"ncv1 slot key")
    data = b"\x82\xa4kind\xa3key\xa4salt\xc4\x20" + slot.salt
    assert ChaCha20Poly1305(kek).decrypt(bytes(12), slot.wrapped, data) == bundle_key.reveal()

    slot = keys.seal_slot(Passphrase("p"), bundle_key, Argon2Parameters(t=2, m_kib=300, p=3))
    assert isinstance(slot, PassphraseSlot)
    kek = hkdf(Passphrase("p").stretch(slot.salt, slot.argon2), slot.salt, b"ncv1 slot passphrase")
    data = b"\x85\xa4kind\xaapassphrase\xa5m_kib\xcd\x01\x2c\xa1p\x03\xa4salt\xc4\x10" + slot.salt + b"\xa1t\x02"
    assert ChaCha20Poly1305(kek).decrypt(bytes(12), slot.wrapped, data) == bundle_key.reveal()
    fields = msgpack.unpackb(slot_data("passphrase", slot.salt, slot.argon2))
    assert list(fields) == sorted(fields)


def test_subkeys_are_distinct_and_fixed_by_their_inputs() -> None:
    root, salt = BundleKey(SECRET), bytes(32)
    labels = [getattr(keys, name) for name in keys.__all__ if name.startswith("LABEL_")]
    assert len(labels) == 5
    derived = {keys.derive(root, salt, label) for label in labels}
    derived |= {keys.segment_seed(root, salt, segment).reveal() for segment in (0, 1, 2**64 - 1)}
    derived |= {
        keys.segment_seed(root, b"\x01" * 32, 0).reveal(),
        keys.segment_seed(Key(bytes(32)), salt, 0).reveal(),
    }
    assert len(derived) == 5 + 3 + 2
    seed = keys.segment_seed(root, salt, 258)
    assert seed.reveal() == hkdf(SECRET, salt, b"ncv1 z0\x02\x01\0\0\0\0\0\0")
    assert seed == keys.segment_seed(Key(SECRET), salt, 258)


@pytest.mark.parametrize("segment", [-1, 2**64])
def test_segments_out_of_range(segment: int) -> None:
    with pytest.raises(UsageError, match="segment"):
        keys.segment_seed(Key(SECRET), bytes(32), segment)


@given(st.tuples(*[st.integers(1, 9)] * 3), st.binary(min_size=32, max_size=32))
def test_start_latents_of_one_seed_share_their_beginning(shape: tuple[int, int, int], secret: bytes) -> None:
    z = keys.start_latent(SegmentSeed(secret), shape)
    assert z.shape == shape
    assert z.dtype == np.uint8
    assert z.flags.writeable
    assert z.flags.c_contiguous
    longer = keys.start_latent(SegmentSeed(secret), (1, 1, 1_000)).reshape(-1)
    assert np.array_equal(z.reshape(-1), longer[: z.size])


def test_start_latent_shapes_refused() -> None:
    seed = SegmentSeed(SECRET)
    for shape in ((0, 1, 1), (1, -1, 1), (1, 1)):
        with pytest.raises(ShapeError):
            keys.start_latent(seed, shape)  # type: ignore[arg-type]
    with pytest.raises(LimitError):
        keys.start_latent(seed, (1024, 1024, 1025))


def test_a_key_file_may_be_named_by_a_string(tmp_path):
    key = Key.generate()
    key.write(str(tmp_path / "k.bin"))
    assert Key.read(str(tmp_path / "k.bin")) == key
