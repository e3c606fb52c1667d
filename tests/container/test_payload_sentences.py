"""The whole sentence and the whole hint of every error of a payload, its directory and the file that holds it."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import msgpack
import pytest
from bundle_parts import KEY, METADATA, NAME, opened, payload_offset, with_directory, with_plaintext
from sentences import COPY, GOOD, NEWER, PLAIN, on_reading, said

from neuralcipher.container import BundleReader, BundleWriter, Section, directory, stream, writing
from neuralcipher.container.directory import check_section, pack_directory
from neuralcipher.container.format import Source

AT = payload_offset(GOOD)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD[:AT], f"x.ncv is cut short after {AT} bytes"),
        (GOOD[: AT + 16], f"x.ncv is cut short after {AT + 16} bytes"),
        (GOOD[:-1], f"x.ncv is cut short, or damaged in its last chunk from byte {AT} on"),
        (PLAIN[: payload_offset(PLAIN) + 31], f"x.ncv is cut short after {payload_offset(PLAIN) + 31} bytes"),
        (PLAIN[:-1], "x.ncv is damaged or cut short: its checksum does not match"),
    ],
)
def test_a_payload_that_is_cut(data: bytes, message: str) -> None:
    assert on_reading(data) == (message, COPY)


def test_a_payload_that_is_changed_or_longer() -> None:
    data = with_plaintext(bytes(70_000))
    at = payload_offset(data)
    flipped = data[: at + 5] + bytes([data[at + 5] ^ 1]) + data[at + 6 :]
    reader = opened(flipped)
    reader.unlock([KEY])
    assert said(lambda: reader.read_section(Section("flow", 0, 0, 9))) == (
        f"the payload of x.ncv is damaged at byte {at}",
        COPY,
    )
    assert on_reading(GOOD + b"ab") == (
        "x.ncv has 2 bytes after its end",
        "cut them off, or fetch the file again from where it came from",
    )
    full = with_plaintext(bytes(65_536))
    end = len(full)
    assert on_reading(full + bytes(99)) == (f"x.ncv has bytes after its end, from byte {end} on", COPY)


@pytest.mark.parametrize("size", [3, 65_535, 65_536, 65_537])
def test_up_to_64_bytes_after_the_end_are_counted(size: int) -> None:
    good = with_plaintext(bytes(size))
    start = payload_offset(good)
    at = start + (len(good) + 64 - start) // 65_552 * 65_552  # where the last chunk of the longer file begins
    for extra in (1, 2, 62, 63, 64):
        assert on_reading(good + b"n" * extra)[0] == f"x.ncv has {extra} bytes after its end"
    more = f"x.ncv has bytes after its end, from byte {at} on"
    cut = f"x.ncv is cut short, or damaged in its last chunk from byte {at} on"
    assert on_reading(good + b"n" * 65)[0] == (more if size == 65_536 else cut)


def test_a_payload_of_nothing_has_one_bad_chunk() -> None:
    reader = opened(GOOD[:AT])
    reader.unlock([KEY])
    assert [(problem.chunk, problem.offset) for problem in reader.verify()] == [(0, AT)]


def entry(**changes: Any) -> dict[str, Any]:
    return {"kind": "flow", "length": 3, "offset": 0, "segment": 0} | changes


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ([], "its fields are not those of version 1", COPY),
        ({"version": 1}, "its fields are not those of version 1", COPY),
        ({"metadata": [], "sections": [], "version": 1}, "a field has the wrong type", COPY),
        ({"metadata": {}, "sections": {}, "version": 1}, "a field has the wrong type", COPY),
        ([entry(), entry(offset=4, segment=1)], "section 'flow' does not begin where the one before it ends", COPY),
        ([entry()], "the sections do not end where the directory begins", COPY),
        ([entry(length=2), entry(length=2, offset=2)], "a section is there twice", COPY),
        ([entry(kind=7)], "a section lacks a field or has one of the wrong type", COPY),
        ([entry(kind="")], "a section has a field out of its range", COPY),
    ],
)
def test_the_directory(fields: Any, message: str, hint: str) -> None:
    if isinstance(fields, list) and fields:
        fields = {"metadata": {}, "sections": fields, "version": 1}
    assert on_reading(with_directory(fields, b"abcd")) == (f"the directory of x.ncv is damaged: {message}", hint)


def test_the_directory_when_it_is_newer_or_larger() -> None:
    assert on_reading(with_directory({"version": 2})) == (
        "x.ncv has a directory of version 2, and this installation reads 1",
        NEWER,
    )
    assert on_reading(with_directory(None, raw=b"\xc0\xc0")) == (
        "the directory of x.ncv is damaged: bytes follow its end",
        COPY,
    )
    assert on_reading(with_plaintext(bytes(15) + b"\1")) == (
        "the directory of x.ncv is damaged: it is not where the payload says",
        COPY,
    )
    huge = {"metadata": {}, "sections": [entry(length=2**30 + 1)], "version": 1}
    assert on_reading(with_directory(huge)) == (
        "section 'flow' of x.ncv has 1073741825 bytes, above the limit of 1073741824",
        COPY,
    )


def test_limits_of_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    two = {"metadata": {}, "sections": [entry(length=0), entry(length=0, segment=1)], "version": 1}
    monkeypatch.setattr(directory, "MAX_SECTIONS", 1)
    assert on_reading(with_directory(two)) == ("x.ncv has 2 sections, above the limit of 1", COPY)
    monkeypatch.setattr(directory, "MAX_DIRECTORY_BYTES", 30)
    size = len(msgpack.packb(two))
    assert on_reading(with_directory(two)) == (f"the directory of x.ncv has {size} bytes, above the limit of 30", COPY)
    assert said(lambda: pack_directory({"a": "b" * 30}, ())) == (
        "a directory of 63 bytes is above the limit of 30",
        "use longer segments",
    )


@pytest.mark.parametrize(
    ("section", "message", "hint"),
    [
        (Section("", 0, 0, 0), "a section's kind has 1..64 bytes, unlike ''", ""),
        (Section("é" * 90, 0, 0, 0), f"a section's kind has 1..64 bytes, unlike '{'é' * 80}'", ""),
        (Section("a", 2**64, 0, 0), "segment 18446744073709551616 is not in 0..2**64-1", ""),
        (
            Section("a", 0, 0, 2**30 + 1),
            "section 'a' of 1073741825 bytes is above the limit of 1073741824",
            "cut the video into shorter segments",
        ),
        (
            Section("a", 0, 0, 0, {"z": 1, "offset": 2, "length": 3}),
            "section attribute 'length' has a meaning of its own",
            "choose another name",
        ),
    ],
)
def test_sections_that_are_not_written(section: Section, message: str, hint: str) -> None:
    assert said(lambda: check_section(section)) == (message, hint)


def test_what_a_writer_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = BundleWriter.create_sealed(io.BytesIO(), [KEY])
    writer.add_section("flow", 3, b"abc")
    assert said(lambda: writer.add_section("flow", 3, b"abc")) == ("section 'flow' of segment 3 is there already", "")
    monkeypatch.setattr(writing, "MAX_SECTIONS", 1)
    assert said(lambda: writer.add_section("flow", 4, b"abc")) == (
        "a bundle has at most 1 sections",
        "use longer segments",
    )
    monkeypatch.setattr(stream, "MAX_CHUNKS", 1)
    writer = BundleWriter.create_sealed(io.BytesIO(), [KEY])
    writer.add_section("flow", 0, bytes(65_536))
    assert said(lambda: writer.finish(METADATA)) == (
        "the payload is above the limit of 1 chunks",
        "seal the video in parts",
    )


def test_ranges_outside_a_section() -> None:
    reader = opened(GOOD)
    reader.unlock([KEY])
    (section,) = reader.sections
    assert said(lambda: reader.read_section(section, 2, 2)) == ("bytes 2..4 are not inside a section of 3", "")
    for range_ in ((-1, 1), (0, -1), (0, 10_000)):
        with pytest.raises(ValueError, match=r"^the range is not inside the payload$"):
            opened(PLAIN)._open_payload().read(*range_)
        with pytest.raises(ValueError, match=r"^the range is not inside the payload$"):
            reader._open_payload().read(*range_)


class Faulty(io.BytesIO):
    """A file whose reads fail."""

    def __init__(self, data: bytes, error: OSError) -> None:
        super().__init__(data)
        self.error = error

    def read(self, size: int | None = -1) -> bytes:
        raise self.error


def test_a_disk_that_fails() -> None:
    for error, reason in [
        (OSError(errno.EIO, "Input/Output Error"), "input/output error"),
        (OSError(), "input/output error"),
    ]:
        source = Source(Faulty(b"abc", error), 3, NAME)
        assert said(lambda s=source: s.read(2, 1)) == (f"x.ncv cannot be read at byte 2: {reason}", "check the disk")


def test_paths_that_are_no_bundle(tmp_path: Path) -> None:
    assert said(lambda: BundleReader.open(tmp_path))[0] == f"{tmp_path} is a folder, not a bundle"
    assert said(lambda: BundleReader.open(Path("/dev/zero"))) == (
        "/dev/zero is not a regular file",
        "copy the bundle to a file first",
    )
    path = tmp_path / NAME
    path.write_bytes(GOOD)
    with BundleReader.open(path) as reader:
        assert reader.path == path
        reader.unlock([KEY])
        assert reader.section("flow") == reader.sections[0]
        assert reader.section("flow", 1) is None


class Dripping(io.BytesIO):
    """A file that gives three bytes at a time, as an unbuffered one may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(3, size or 0))


def test_a_file_that_gives_little_at_a_time() -> None:
    data = bytes(range(100))
    source = Source(Dripping(data), 100, NAME)
    assert source.read(5, 80) == data[5:85]
    assert said(lambda: source.read(60, 41)) == ("x.ncv is cut short", COPY)
