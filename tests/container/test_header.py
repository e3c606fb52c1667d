"""The public header: each way to be wrong has its own error."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgpack
import pytest
from bundle_parts import BUNDLE_KEY, CHEAP, KEY, NAME, OTHER, bare, opened, sealed, sealed_fields, with_header
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.container import BundleReader
from neuralcipher.container.format import (
    MAX_HEADER_BYTES,
    BareHeader,
    SealedHeader,
    Source,
    parse,
    serialise,
)
from neuralcipher.errors import (
    BundleError,
    HeaderDamagedError,
    LimitError,
    NotABundleError,
    TruncatedError,
    UnsupportedError,
    UsageError,
    WrongKeyError,
)
from neuralcipher.keys import KeySlot, Passphrase, PassphraseSlot, Slot

key_slots = st.builds(KeySlot, st.binary(min_size=32, max_size=32), st.binary(min_size=48, max_size=48))
passphrase_slots = st.builds(
    PassphraseSlot, st.binary(min_size=16, max_size=16), st.binary(min_size=48, max_size=48), st.just(CHEAP)
)


def refused(data: bytes, error: type[BundleError], sentence: str) -> None:
    with pytest.raises(error, match=sentence) as caught:
        opened(data).unlock([KEY])
    assert type(caught.value) is error
    assert NAME in caught.value.message
    assert caught.value.exit_code == (5 if error is WrongKeyError else 4)


@given(
    st.sampled_from(["chacha20-poly1305", "aes-256-gcm"]),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.lists(key_slots, min_size=1, max_size=24),
    st.lists(passphrase_slots, max_size=8),
)
def test_round_trip(
    aead: str, salt: bytes, payload_salt: bytes, commit: bytes, first: list[Slot], second: list[Slot]
) -> None:
    header = SealedHeader(aead, salt, payload_salt, commit, (*first, *second))
    data = serialise(header, BUNDLE_KEY)
    preamble = parse(Source(io.BytesIO(data), len(data), NAME))
    assert preamble.header == header
    assert preamble.payload_offset == len(data)
    data = serialise(BareHeader(salt))
    assert parse(Source(io.BytesIO(data), len(data), NAME)).header == BareHeader(salt)


def test_a_header_put_together_by_hand_opens() -> None:
    reader = opened(with_header(msgpack.packb(sealed_fields())))
    reader.unlock([KEY])
    assert reader.bundle_key == BUNDLE_KEY


@pytest.mark.parametrize("good", [sealed(b"abc"), bare(b"abc")], ids=["sealed", "bare"])
def test_magic(good: bytes) -> None:
    refused(b"", NotABundleError, "is empty")
    refused(b"\x00\x00\x00 ftypisom" + good, NotABundleError, "is not a neuralcipher bundle")
    refused(b"N", NotABundleError, "is not a neuralcipher bundle")
    for damaged in (
        good.replace(b"\r\n", b"\n"),
        good.replace(b"\n", b"\r\n"),
        good.replace(b"\n", b"\r"),
        bytes(byte & 0x7F for byte in good),
        good.decode("latin-1").encode("utf-8"),
        good.decode("utf-8", "replace").encode("utf-8"),
        good[:4] + b"\x00" + good[5:],
    ):
        refused(damaged, NotABundleError, "copied as text")


@pytest.mark.parametrize("good", [sealed(b"abc"), bare(b"abc")], ids=["sealed", "bare"])
def test_version_suite_and_length(good: bytes) -> None:
    refused(good[:8] + b"\x02\x00" + good[10:], UnsupportedError, "format version 2")
    refused(good[:8] + b"\x02\x00", UnsupportedError, "format version 2")
    refused(good[:8] + b"\x00\x01" + good[10:], UnsupportedError, "format version 256")
    refused(good[:8] + b"\x00\x00" + good[10:], UnsupportedError, "format version 0")
    refused(good[:10] + b"\x02\x00" + good[12:], UnsupportedError, "suite 2")
    refused(good[:12] + b"\xff\xff\xff\xff" + good[16:], LimitError, "claims 4294967295 bytes")
    refused(good[:12] + b"\x01\x00\x01\x00" + good[16:], LimitError, "claims 65537 bytes")
    refused(good[:12] + b"\x00\x00\x01\x00" + good[16:], TruncatedError, "cut short")
    refused(with_header(b""), HeaderDamagedError, "ends too early")
    for end in range(1, 48 + int.from_bytes(good[12:16], "little")):
        refused(good[:end], TruncatedError, "cut short")


def test_largest_header_is_read() -> None:
    fields = sealed_fields()
    packed = msgpack.packb(fields | {"zzz": bytes(MAX_HEADER_BYTES - len(msgpack.packb(fields)) - 7)})
    assert len(packed) == MAX_HEADER_BYTES
    refused(with_header(packed), HeaderDamagedError, "unknown field 'zzz'")


def ordered(value: Any) -> Any:
    """The same value with the keys of every map sorted."""
    if isinstance(value, list):
        return [ordered(item) for item in value]
    return {name: ordered(value[name]) for name in sorted(value)} if isinstance(value, dict) else value


def change(fields: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Set a.b.0 style paths; None removes."""
    *parents, last = path.split("/")
    inner: Any = fields
    for parent in parents:
        inner = inner[int(parent)] if parent.isdigit() else inner[parent]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return fields


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("salt", None, "lacks field 'salt'"),
        ("payload_salt", None, "lacks field 'payload_salt'"),
        ("payload_salt", bytes(33), "'payload_salt' has 33 bytes instead of 32"),
        ("aead", None, "lacks field 'aead'"),
        ("commit", None, "lacks field 'commit'"),
        ("slots", None, "lacks field 'slots'"),
        ("salu", b"", "unknown field 'salu'"),
        ("salt", bytes(31), "'salt' has 31 bytes instead of 32"),
        ("salt", bytes(33), "'salt' has 33 bytes instead of 32"),
        ("salt", "s" * 32, "'salt' .* wrong type"),
        ("commit", bytes(31), "'commit' has 31 bytes"),
        ("aead", 1, "'aead' .* wrong type"),
        ("slots", {}, "'slots' .* wrong type"),
        ("slots", [], "no key slot"),
        ("slots", [1], "has no kind"),
        ("slots", [{}], "has no kind"),
        ("slots/0/kind", 7, "has no kind"),
        ("slots/0/salt", None, "lacks field 'salt'"),
        ("slots/0/wrapped", None, "lacks field 'wrapped'"),
        ("slots/0/extra", 1, "unknown field 'extra'"),
        ("slots/0/t", 1, "unknown field 't'"),
        ("slots/0/salt", bytes(16), "'salt' has 16 bytes instead of 32"),
        ("slots/0/wrapped", bytes(47), "'wrapped' has 47 bytes"),
        ("slots/0/wrapped", bytes(64), "'wrapped' has 64 bytes"),
        ("slots/0/wrapped", [0] * 48, "'wrapped' .* wrong type"),
    ],
)
def test_fields(path: str, value: Any, sentence: str) -> None:
    fields = change(sealed_fields(), path, value)
    refused(with_header(msgpack.packb(ordered(fields))), HeaderDamagedError, sentence)


def passphrase_fields(**changes: Any) -> bytes:
    slot: dict[str, Any] = {"kind": "passphrase", "m_kib": 64, "p": 1, "salt": bytes(16), "t": 1}
    slot |= {"wrapped": bytes(48)} | changes
    return with_header(msgpack.packb(sealed_fields() | {"slots": [slot]}))


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"t": 17}, LimitError, "t=17"),
        ({"m_kib": 2**20 + 1}, LimitError, "m_kib=1048577"),
        ({"m_kib": 2**64 - 1}, LimitError, "m_kib=18446744073709551615"),
        ({"p": 17, "m_kib": 2**20}, LimitError, "p=17"),
        ({"t": 0}, HeaderDamagedError, "do not exist"),
        ({"p": 0}, HeaderDamagedError, "do not exist"),
        ({"t": -1}, HeaderDamagedError, "do not exist"),
        ({"m_kib": 7}, HeaderDamagedError, "do not exist"),
        ({"m_kib": 127, "p": 16}, HeaderDamagedError, "do not exist"),
        ({"t": True}, HeaderDamagedError, "wrong type"),
        ({"t": "1"}, HeaderDamagedError, "wrong type"),
        ({"salt": bytes(32)}, HeaderDamagedError, "'salt' has 32 bytes instead of 16"),
    ],
)
def test_argon2_parameters(changes: dict[str, Any], error: type[BundleError], sentence: str) -> None:
    refused(passphrase_fields(**changes), error, sentence)


def test_what_this_installation_lacks() -> None:
    refused(with_header(msgpack.packb(sealed_fields() | {"aead": "rot13"})), UnsupportedError, "'rot13'")
    slot = {"kind": "yubikey"}
    refused(with_header(msgpack.packb(sealed_fields() | {"slots": [slot]})), UnsupportedError, "'yubikey'")


def test_number_of_slots() -> None:
    fields = sealed_fields()
    slot = fields["slots"][0]
    dead = slot | {"wrapped": bytes(48)}
    opened(with_header(msgpack.packb(fields | {"slots": [dead] * 31 + [slot]}))).unlock([KEY])
    refused(with_header(msgpack.packb(fields | {"slots": [slot] * 33})), LimitError, "33 key slots")
    refused(with_header(msgpack.packb(fields | {"slots": [slot] * 60})), LimitError, "60 key slots")
    words = {"kind": "passphrase", "m_kib": 8, "p": 1, "salt": bytes(16), "t": 1, "wrapped": bytes(48)}
    refused(with_header(msgpack.packb(fields | {"slots": [words] * 9})), LimitError, "9 passphrase slots")
    refused(with_header(msgpack.packb(fields | {"slots": [words] * 8})), WrongKeyError, "no key slot")


def test_not_canonical() -> None:
    fields = sealed_fields()
    unsorted = msgpack.packb(dict(sorted(fields.items(), reverse=True)))
    for packed in (unsorted, msgpack.packb(fields) + b"\x00", b"\x90", b"\xc0", msgpack.packb(fields)[:-1]):
        refused(with_header(packed), HeaderDamagedError, "the header of x.ncv is damaged")
    refused(with_header(msgpack.packb(fields), suite=0), HeaderDamagedError, "unknown field")
    refused(with_header(b"\x91" * 60_000 + b"\x00"), HeaderDamagedError, "nested deeper|more than")


def test_commit_and_mac() -> None:
    good = with_header(msgpack.packb(sealed_fields()))
    refused(good[:-1] + bytes([good[-1] ^ 1]), HeaderDamagedError, "damaged or forged")
    fields = sealed_fields() | {"commit": bytes(32)}
    refused(with_header(msgpack.packb(fields)), HeaderDamagedError, "damaged or forged")


def test_wrong_keys() -> None:
    data = sealed(b"abc", credentials=(KEY,))
    both = sealed(b"abc", credentials=(KEY, Passphrase("p")))
    for bundle, credential, sentence, hint in [
        (data, OTHER, "no key slot of x.ncv opens with this key", "check that it is the key file"),
        (both, OTHER, "no key slot of x.ncv opens with this key", "or pass --passphrase; a damaged slot"),
        (data, Passphrase("p"), "no key slot of x.ncv takes a passphrase", "--key"),
        (both, Passphrase("q"), "no key slot of x.ncv opens with this passphrase", "type it again"),
    ]:
        with pytest.raises(WrongKeyError, match=sentence) as caught:
            opened(bundle).unlock([credential])
        assert hint in caught.value.hint
        assert caught.value.exit_code == 5
    opened(both).unlock([OTHER, Passphrase("q"), Passphrase("p")])
    with pytest.raises(UsageError, match="is locked"):
        opened(data).unlock([])


def test_paths_that_are_no_bundles(tmp_path: Path) -> None:
    (tmp_path / "empty.ncv").touch()
    with pytest.raises(NotABundleError, match="is empty"):
        BundleReader.open(tmp_path / "empty.ncv")
    with pytest.raises(UsageError, match="does not exist"):
        BundleReader.open(tmp_path / "absent.ncv")
    with pytest.raises(UsageError, match="is a folder"):
        BundleReader.open(tmp_path)
    with pytest.raises(UsageError, match="not a regular file"):
        BundleReader.open(Path("/dev/null"))
