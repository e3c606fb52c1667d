"""Whole bundles: written, read in any order, damaged in every way."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import pytest
from bundle_parts import (
    BUNDLE_KEY,
    CHEAP,
    KEY,
    METADATA,
    OTHER,
    bare,
    content,
    opened,
    payload_offset,
    read_all,
    sealed,
    with_directory,
    with_plaintext,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher import container
from neuralcipher.container import BundleReader, BundleWriter, Section
from neuralcipher.container.directory import pack_trailer, parse_directory, parse_trailer
from neuralcipher.errors import (
    BundleError,
    HeaderDamagedError,
    LimitError,
    NeuralCipherError,
    PayloadDamagedError,
    TruncatedError,
    UnsupportedError,
    UsageError,
    WrongKeyError,
)
from neuralcipher.files import output_file
from neuralcipher.keys import Key, Passphrase, segment_seed


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 150_000), max_size=5),
    st.sampled_from(["chacha20-poly1305", "aes-256-gcm", "bare"]),
)
def test_round_trip(sizes: list[int], suite: str) -> None:
    sections = [content(size) for size in sizes]
    data = bare(*sections) if suite == "bare" else sealed(*sections, aead=suite)
    assert read_all(data) == sections
    reader = opened(data)
    reader.unlock([KEY])
    assert reader.verify() == []


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    (tmp_path / "b.ncv").write_bytes(sealed(content(10)))
    (tmp_path / "phrase.txt").write_text("correct horse\n")
    with BundleReader.open(str(tmp_path / "b.ncv")) as reader:
        assert reader.name == "b.ncv"
    assert Passphrase.read(str(tmp_path / "phrase.txt")) == Passphrase("correct horse")


def test_what_is_seen_without_a_key(tmp_path: Path) -> None:
    data = sealed(b"abc", credentials=(KEY, Passphrase("p"), OTHER))
    (tmp_path / "a.ncv").write_bytes(data)
    with BundleReader.open(tmp_path / "a.ncv") as reader:
        assert (reader.version, reader.suite, reader.aead) == (1, "sealed", "chacha20-poly1305")
        assert [slot.kind for slot in reader.slots] == ["key", "passphrase", "key"]
        assert reader.size_bytes == len(data)
        assert reader.name == "a.ncv"
        for locked in (
            lambda: reader.sections,
            lambda: reader.metadata,
            lambda: reader.segment_seed(0),
            reader.verify,
            lambda: reader.bundle_key,
            lambda: reader.chunk_count,
        ):
            with pytest.raises(UsageError, match="locked"):
                locked()
    assert b"clip.mp4" not in data
    assert b"flow" not in data


def test_attributes_ranges_and_lookup() -> None:
    file = io.BytesIO()
    writer = BundleWriter.create_sealed(file, [KEY])
    writer.add_section("generator", 0, b"weights", name="feistel", shape=[8, 4, 4])
    writer.add_section("flow", 3, memoryview(content(100_000)), frames=64)
    writer.add_section("empty", 2**64 - 1, b"")
    writer.finish({})
    reader = opened(file.getvalue())
    reader.unlock([KEY])
    flow = reader.section("flow", 3)
    assert flow is not None
    assert dict(flow.attributes) == {"frames": 64}
    assert reader.read_section(flow, 70_000, 10) == content(100_000)[70_000:70_010]
    assert reader.read_section(flow, 99_999) == content(100_000)[99_999:]
    assert reader.read_section(flow, 100_000) == b""
    for start, length in [(0, 100_001), (-1, 3), (5, -1), (100_001, None)]:
        with pytest.raises(UsageError, match="not inside"):
            reader.read_section(flow, start, length)
    assert reader.section("flow", 0) is None
    assert reader.read_section(reader.sections[2]) == b""
    assert [section.kind for section in reader.sections] == ["generator", "flow", "empty"]


def test_seeds_agree_between_writer_and_reader() -> None:
    for create in (
        lambda f: BundleWriter.create_sealed(f, [KEY]),
        lambda f: BundleWriter.create_bare(f, KEY),
    ):
        file = io.BytesIO()
        writer = create(file)
        writer.finish({})
        reader = opened(file.getvalue())
        reader.unlock([KEY])
        seeds = [reader.segment_seed(segment) for segment in range(3)]
        assert seeds == [writer.segment_seed(segment) for segment in range(3)]
        assert seeds[0] != seeds[1]
        root = KEY if reader.suite == "bare" else reader.bundle_key
        assert seeds[2] == segment_seed(root, reader.header.salt, 2)


@pytest.mark.parametrize("length", [0, 1, 60_000, 65_536, 200_000])
@pytest.mark.parametrize("bare", [False, True])
def test_the_finished_size_is_known_before_the_sections_are_written(bare: bool, length: int) -> None:
    file = io.BytesIO()
    writer = BundleWriter.create_bare(file, KEY) if bare else BundleWriter.create_sealed(file, [KEY, OTHER])
    writer.add_section("generator", 0, b"weights", name="feistel")
    planned = [Section("flow", 0, 0, length, {"frames": 3}), Section("audio", 0, 0, 300)]
    size = writer.finished_size({"a": 1}, planned)
    writer.add_section("flow", 0, bytes(length), frames=3)
    writer.add_section("audio", 0, bytes(300))
    assert writer.finished_size({"a": 1}) == size
    writer.finish({"a": 1})
    assert len(file.getvalue()) == size


def test_two_bundles_of_the_same_content_share_nothing() -> None:
    one, two = opened(sealed(b"abc")), opened(sealed(b"abc"))
    one.unlock([KEY])
    two.unlock([KEY])
    assert one.bundle_key != two.bundle_key
    assert one.header.salt != two.header.salt
    assert one.segment_seed(0) != two.segment_seed(0)
    assert opened(bare(b"abc")).header.salt != opened(bare(b"abc")).header.salt


def test_nothing_secret_in_repr() -> None:
    reader = opened(sealed(b"abc", credentials=(KEY, Passphrase("horse"))))
    reader.unlock([KEY])
    writer = BundleWriter.create_bare(io.BytesIO(), KEY)
    secrets = (reader.bundle_key.reveal(), KEY.reveal(), reader.segment_seed(0).reveal())
    for thing in (reader, writer, reader.slots, reader.header, reader.segment_seed(0), reader.bundle_key):
        for secret in secrets:
            assert repr(secret)[2:-1] not in repr(thing)
            assert secret.hex() not in repr(thing)
    with pytest.raises(WrongKeyError) as caught:
        opened(sealed(b"abc")).unlock([Passphrase("horse")])
    assert "horse" not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.parametrize("suite", ["sealed", "bare"])
def test_every_flipped_bit_is_refused(suite: str) -> None:
    good = sealed(b"some weights") if suite == "sealed" else bare(b"some weights")
    assert read_all(good) == [b"some weights"]
    mac, payload = payload_offset(good) - 32, payload_offset(good)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises((BundleError, WrongKeyError)) as caught:
            read_all(bytes(bad))
        if mac <= bit // 8 < payload:
            assert type(caught.value) is HeaderDamagedError
        if bit // 8 >= payload:
            assert type(caught.value) is PayloadDamagedError
            reader = opened(bytes(bad))
            reader.unlock([KEY])
            assert len(reader.verify()) == 1


@pytest.mark.parametrize("suite", ["sealed", "bare"])
def test_truncated_at_every_byte(suite: str) -> None:
    good = sealed(b"some weights") if suite == "sealed" else bare(b"some weights")
    for end in range(1, len(good)):
        with pytest.raises((TruncatedError, PayloadDamagedError), match="cut short") as caught:
            read_all(good[:end])
        if end <= payload_offset(good):
            assert type(caught.value) is TruncatedError


@pytest.mark.parametrize("suite", ["sealed", "bare"])
def test_truncated_at_every_97th_byte(suite: str) -> None:
    good = sealed(content(40_000), content(30_000)) if suite == "sealed" else bare(content(50_000))
    for end in range(97, len(good), 97):
        with pytest.raises((TruncatedError, PayloadDamagedError), match="cut short"):
            read_all(good[:end])
        if end > payload_offset(good) and end % 5 == 0:
            reader = opened(good[:end])
            reader.unlock([KEY])
            assert reader.verify()


@pytest.mark.parametrize("extra", [1, 2, 16, 17, 48, 64, 65, 1_000, 65_552, 200_000])
@pytest.mark.parametrize("suite", ["sealed", "bare"])
def test_appended_bytes(extra: int, suite: str) -> None:
    good = sealed(content(70_000)) if suite == "sealed" else bare(content(70_000))
    for tail in (bytes(extra), os.urandom(extra), (good * 3)[:extra]):
        with pytest.raises((PayloadDamagedError, TruncatedError)) as caught:
            read_all(good + tail)
        if suite == "sealed" and extra <= 64:
            assert f"x.ncv has {extra} bytes after its end" in caught.value.message


def test_chunks_of_two_bundles_do_not_mix() -> None:
    one, two = sealed(content(150_000)), sealed(content(150_000))
    at = payload_offset(one)
    assert at == payload_offset(two)
    assert len(one) == len(two)
    for start in range(at, len(one), 65_552):
        spliced = one[:start] + two[start : start + 65_552] + one[start + 65_552 :]
        with pytest.raises(PayloadDamagedError):
            read_all(spliced)
    with pytest.raises(PayloadDamagedError):
        read_all(one[:at] + two[at:])


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("last", [-1, 0, 1])
def test_payload_of_whole_chunks(chunks: int, last: int) -> None:
    probe = 60_000 if chunks == 1 else 70_000  # the section's length in the directory is as long as below
    overhead = len(sealed(bytes(probe))) - payload_offset(sealed(b"")) - probe - 16 * min(chunks, 2)
    size = chunks * 65_536 + last - overhead
    data = sealed(content(size))
    reader = opened(data)
    reader.unlock([KEY])
    expected = chunks + (last > 0)
    assert reader.chunk_count == expected
    assert len(data) - reader.payload_offset == chunks * 65_536 + last + 16 * expected
    assert read_all(data) == [content(size)]


def test_verify_names_every_problem_and_its_sections() -> None:
    data = bytearray(sealed(content(100_000), content(100_000), content(100_000)))
    at = payload_offset(bytes(data))
    for chunk in (1, 3):
        data[at + chunk * 65_552 + 7] ^= 0x80
    reader = opened(bytes(data))
    reader.unlock([KEY])
    problems = reader.verify()
    assert [(p.chunk, p.offset) for p in problems] == [(1, at + 65_552), (3, at + 3 * 65_552)]
    assert [p.sections for p in problems] == [(("flow", 0), ("flow", 1)), (("flow", 1), ("flow", 2))]
    assert all("is damaged at byte" in p.message for p in problems)
    data[-1] ^= 1  # now the directory is lost too
    reader = opened(bytes(data))
    reader.unlock([KEY])
    assert [p.chunk for p in reader.verify()] == [1, 3, 4]
    assert all(p.sections == () for p in reader.verify())


def test_bare_needs_no_key_to_read_and_cannot_tell_a_wrong_one() -> None:
    data = bare(b"weights")
    assert b"weights" in data
    assert b"clip.mp4" in data
    for credentials in ([], [KEY], [OTHER]):
        reader = opened(data)
        reader.unlock(credentials)
        assert reader.metadata == METADATA
        assert reader.read_section(reader.sections[0]) == b"weights"
    assert reader.segment_seed(0) != segment_seed(KEY, reader.header.salt, 0)
    reader = opened(data)
    reader.unlock([])
    with pytest.raises(UsageError):
        reader.segment_seed(0)
    for wrong in ([Passphrase("p")], [KEY, OTHER]):
        with pytest.raises(UsageError, match="takes one key file"):
            reader.unlock(wrong)
    with pytest.raises(UsageError, match="bare"):
        _ = reader.bundle_key


def section(**changes: Any) -> dict[str, Any]:
    return {"kind": "flow", "length": 3, "offset": 0, "segment": 0} | changes


def directory(*sections: Any, **changes: Any) -> dict[str, Any]:
    return dict(sorted(({"metadata": {}, "sections": list(sections), "version": 1} | changes).items()))


def test_a_directory_put_together_by_hand_is_read() -> None:
    reader = opened(with_directory(directory(section(), section(segment=1, offset=3, length=2)), b"abcde"))
    reader.unlock([KEY])
    assert [reader.read_section(s) for s in reader.sections] == [b"abc", b"de"]


@pytest.mark.parametrize(
    ("sections", "changes", "error"),
    [
        ([section(offset=1)], {}, PayloadDamagedError),
        ([section(length=2)], {}, PayloadDamagedError),
        ([section(length=4)], {}, PayloadDamagedError),
        ([section(length=2**63)], {}, LimitError),
        ([section(length=2**30 + 1)], {}, LimitError),
        ([section(), section(segment=1)], {}, PayloadDamagedError),
        ([section(), section(segment=1, offset=2, length=1)], {}, PayloadDamagedError),
        ([section(segment=1, offset=2, length=1), section(length=2)], {}, PayloadDamagedError),
        ([section(length=1), section(offset=1, length=2)], {}, PayloadDamagedError),
        ([], {}, PayloadDamagedError),
        ([section(offset=-1)], {}, PayloadDamagedError),
        ([section(segment=-1)], {}, PayloadDamagedError),
        ([section(length=-3)], {}, PayloadDamagedError),
        ([section(segment=True)], {}, PayloadDamagedError),
        ([section(kind="")], {}, PayloadDamagedError),
        ([section(kind="k" * 65)], {}, PayloadDamagedError),
        ([section(kind=b"flow")], {}, PayloadDamagedError),
        ([{"kind": "flow"}], {}, PayloadDamagedError),
        ([7], {}, PayloadDamagedError),
        ([section()], {"version": 2}, UnsupportedError),
        ([section()], {"version": "1"}, PayloadDamagedError),
        ([section()], {"metadata": []}, PayloadDamagedError),
        ([section()], {"sections": {}}, PayloadDamagedError),
        ([section()], {"more": 1}, PayloadDamagedError),
    ],
)
def test_bad_directories(sections: list[Any], changes: dict[str, Any], error: type[BundleError]) -> None:
    reader = opened(with_directory(directory(*sections, **changes), b"abc"))
    reader.unlock([KEY])
    with pytest.raises(error) as caught:
        _ = reader.sections
    assert type(caught.value) is error
    assert "x.ncv" in caught.value.message
    assert [problem.message for problem in reader.verify()] == [caught.value.message]


@pytest.mark.parametrize("raw", [b"", b"\x93", b"\x90", b"\x80", b"\xdd\xff\xff\xff\xff", b"\x91" * 5_000])
def test_directories_that_are_none(raw: bytes) -> None:
    reader = opened(with_directory(None, b"abc", raw=raw))
    reader.unlock([KEY])
    with pytest.raises(PayloadDamagedError, match=r"the directory of x\.ncv is damaged"):
        _ = reader.sections


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"short",
        bytes(15),
        bytes(16),
        b"\xff" * 16,
        msgpack.packb(directory()) + (0).to_bytes(8, "little") + (99).to_bytes(8, "little"),
        msgpack.packb(directory()) + (5).to_bytes(8, "little") + (2**64 - 5).to_bytes(8, "little"),
    ],
)
def test_bad_trailers(plaintext: bytes) -> None:
    reader = opened(with_plaintext(plaintext))
    reader.unlock([KEY])
    with pytest.raises(PayloadDamagedError, match=r"the directory of x\.ncv is damaged"):
        _ = reader.metadata


def test_sizes_of_the_directory_are_bounded() -> None:
    size = 64 << 20
    assert parse_trailer(pack_trailer(5, size), 5 + size + 16, "x.ncv") == (5, size)
    with pytest.raises(LimitError, match="above the limit of 67108864"):
        parse_trailer(pack_trailer(5, size + 1), 5 + size + 1 + 16, "x.ncv")
    packed = msgpack.packb(directory(*[section()] * (2**18 + 1)))
    with pytest.raises(LimitError, match="262145 sections"):
        parse_directory(packed, 0, "x.ncv")


def test_writer_refuses_what_a_reader_would(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = BundleWriter.create_sealed(io.BytesIO(), [KEY])
    writer.add_section("flow", 0, b"a")
    for arguments, error in [
        (("flow", 0, b"b"), UsageError),
        (("", 0, b"b"), UsageError),
        (("k" * 65, 0, b"b"), UsageError),
        (("flow", -1, b"b"), UsageError),
        (("flow", 2**64, b"b"), UsageError),
    ]:
        with pytest.raises(error):
            writer.add_section(*arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'offset'"):
        writer.add_section("flow", 1, b"b", offset=3)
    monkeypatch.setattr("neuralcipher.container.directory.MAX_SECTION_BYTES", 10)
    with pytest.raises(LimitError):
        writer.add_section("flow", 1, bytes(11))
    monkeypatch.setattr("neuralcipher.container.writing.MAX_SECTIONS", 1)
    with pytest.raises(LimitError):
        writer.add_section("flow", 1, b"b")
    monkeypatch.setattr("neuralcipher.container.directory.MAX_DIRECTORY_BYTES", 10)
    with pytest.raises(LimitError):
        writer.finish({})
    with pytest.raises(TypeError, match="float"):
        BundleWriter.create_sealed(io.BytesIO(), [KEY]).finish({"psnr": 1.5})


@pytest.mark.parametrize(
    ("credentials", "error", "sentence"),
    [
        ([], UsageError, "needs a key file or a passphrase"),
        ([KEY, OTHER, KEY], UsageError, "given twice"),
        ([Passphrase("h\u00e9"), Passphrase("he\u0301")], UsageError, "given twice"),
        ([Key(bytes([n] * 32)) for n in range(33)], LimitError, "33 keys"),
        ([Passphrase(str(n)) for n in range(9)], LimitError, "9 of them passphrases"),
    ],
)
def test_credentials_refused(credentials: list[Any], error: type[NeuralCipherError], sentence: str) -> None:
    file = io.BytesIO()
    with pytest.raises(error, match=sentence):
        BundleWriter.create_sealed(file, credentials, argon2=CHEAP)
    assert file.getvalue() == b""


def test_as_many_credentials_as_there_are_slots() -> None:
    keys = [Key(bytes([n] * 32)) for n in range(24)]
    words = [Passphrase(str(n)) for n in range(8)]
    data = sealed(b"abc", credentials=(*keys, *words))
    for credential in (keys[0], keys[-1], words[0], words[-1]):
        assert read_all(data, credential) == [b"abc"]


def test_unknown_aead() -> None:
    with pytest.raises(UsageError, match="no AEAD is called 'rot13'"):
        BundleWriter.create_with_slots(io.BytesIO(), BUNDLE_KEY, [], aead="rot13")


def test_memory_does_not_grow_with_the_payload(tmp_path: Path) -> None:
    """32 MiB in sections of 1 MiB, written and read with a few MiB."""
    path = tmp_path / "a.ncv"
    tracemalloc.start()
    try:
        with output_file(path, force=False) as file:
            writer = BundleWriter.create_sealed(file, [KEY])
            for segment in range(32):
                writer.add_section("flow", segment, bytes(1 << 20))
            writer.finish({})
        with BundleReader.open(path) as reader:
            reader.unlock([KEY])
            for entry in reader.sections:
                assert len(reader.read_section(entry)) == 1 << 20
            assert reader.verify() == []
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.ncv"
    path.write_bytes(sealed(content(300_000)))
    with BundleReader.open(path) as reader:
        reader.unlock([KEY])
        entry = reader.sections[0]
        os.truncate(path, 100_000)
        with pytest.raises(TruncatedError, match=r"a\.ncv is cut short"):
            reader.read_section(entry)


def test_public_names() -> None:
    for name in container.__all__:
        assert getattr(container, name)
