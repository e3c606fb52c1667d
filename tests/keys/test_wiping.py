"""What Python lets us wipe is wiped, and nothing that was wiped is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neuralcipher.errors import KeyFileError, UsageError
from neuralcipher.keys import BundleKey, Key, Passphrase, SegmentSeed, derive, keyfile, open_slot, seal_slot
from neuralcipher.keys import private as private_files
from neuralcipher.keys.secret import Hidden

SECRET = bytes(range(100, 132))


@pytest.mark.parametrize("make", [lambda: Key(SECRET), lambda: BundleKey(SECRET), lambda: Passphrase("correct horse")])
def test_the_buffer_is_overwritten(make) -> None:
    for end in ("wipe", "with", "del"):
        secret: Hidden = make()
        buffer = secret.buffer()
        assert any(buffer)
        if end == "wipe":
            secret.wipe()
            secret.wipe()
        elif end == "with":
            with secret:
                pass
        else:
            del secret
        assert len(buffer) > 0
        assert not any(buffer)


def test_what_was_wiped_is_refused_and_not_taken_for_zeros() -> None:
    bundle_key = BundleKey(SECRET)
    slot = seal_slot(Key(SECRET), bundle_key)
    key, seed, phrase = Key(SECRET), SegmentSeed(SECRET), Passphrase("correct horse")
    for secret in (key, seed, phrase, bundle_key):
        secret.wipe()
        assert "hidden" in repr(secret)
    for use in (
        key.reveal,
        lambda: seal_slot(key, BundleKey(SECRET)),
        lambda: open_slot(slot, key),
        lambda: derive(bundle_key, bytes(32), b"label"),
        lambda: key == Key(bytes(32)),
        lambda: seal_slot(phrase, BundleKey(SECRET)),
    ):
        with pytest.raises(ValueError, match="was wiped"):
            use()


def test_the_caller_s_bytes_are_not_touched() -> None:
    given = bytearray(SECRET)
    Key(given).wipe()
    assert given == SECRET
    revealed = (key := Key(SECRET)).reveal()
    key.wipe()
    assert revealed == SECRET


def test_a_key_that_was_refused_goes_quietly() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Key(bytes(31))  # __del__ of a half-made object runs here; pytest turns an error in it into a warning


@pytest.mark.filterwarnings("error")
def test_what_was_read_from_a_file_is_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytearray] = []
    real = private_files.read_small

    def remembered(path: Path, noun: str, limit: int) -> bytearray:
        read.append(real(path, noun, limit))
        return read[-1]

    monkeypatch.setattr(private_files, "read_small", remembered)
    (tmp_path / "k.bin").write_bytes(SECRET)
    (tmp_path / "long.bin").write_bytes(SECRET * 2)
    (tmp_path / "phrase").write_text("correct horse\n")
    (tmp_path / "two").write_text("correct\nhorse\n")
    assert Key.read(tmp_path / "k.bin") == Key(SECRET)
    assert Passphrase.read(tmp_path / "phrase") == Passphrase("correct horse")
    with pytest.raises(KeyFileError):
        keyfile.Key.read(tmp_path / "long.bin")
    with pytest.raises(UsageError):
        Passphrase.read(tmp_path / "two")
    assert [len(data) for data in read] == [32, 14, 33, 14]
    assert not any(any(data) for data in read)


def test_a_long_pipe_is_read_in_pieces() -> None:
    reader, writer = os.pipe()
    if os.fork() == 0:
        for piece in (SECRET[:5], SECRET[5:31], SECRET[31:]):
            os.write(writer, piece)
        os._exit(0)
    os.close(writer)
    try:
        assert Key.read(f"/dev/fd/{reader}") == Key(SECRET)
    finally:
        os.close(reader)
        os.wait()
