"""Opening onto a pipe: who reads it has the first frame before the second segment is decoded. Events, not clocks."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.container import BundleReader
from neuralcipher.pipeline import segments
from neuralcipher.pipeline.opening import open_stream

KEY = Key(bytes(range(32)))
FRAME = len(b"FRAME\n") + 3 * 32 * 18


class Pipe(io.RawIOBase):
    """The reader's end: notes how many bytes have arrived, one after the other with what else happens."""

    def __init__(self, events: list[str | int]) -> None:
        self.events = events
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        self.events.append(len(self.data))
        return len(data)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine small frames in three segments: all of them fit into the buffer of a stream."""
    path = tmp_path_factory.mktemp("streaming") / "v.ncv"
    small = SealOptions(max_frames=9, segment_frames=3, scale="32x18")
    options = replace(small, generator="chacha20", flow="mlp", flow_options={"steps": 0})
    neuralcipher.seal(neuralcipher.demo_clip(), path, keys=[KEY], options=options)
    return path


def test_the_first_frame_arrives_before_the_second_segment_is_decoded(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str | int] = []
    read = BundleReader.read_section

    def reading(self: BundleReader, section: Any, *more: Any) -> bytes:
        events.append(f"{section.kind} {section.segment}")
        return read(self, section, *more)

    monkeypatch.setattr(BundleReader, "read_section", reading)
    pipe = Pipe(events)
    with io.BufferedWriter(pipe, 1 << 20) as stream:
        open_stream(bundle, stream, keys=[KEY])
        assert pipe.data.count(b"FRAME\n") == 9, "everything is there before the stream is closed"
    header = pipe.data.index(b"FRAME\n")
    for segment in (1, 2):
        arrived = max(event for event in events[: events.index(f"flow {segment}")] if isinstance(event, int))
        # One frame is made ahead, and may still be in the hands of the writer.
        assert arrived >= header + (3 * segment - 2) * FRAME
    assert "audio 0" not in events


def test_the_header_arrives_before_anything_is_decoded(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[bytes] = []
    pipe = Pipe([])

    def decode(*_: Any) -> Any:
        arrived.append(pipe.data)
        raise KeyboardInterrupt

    monkeypatch.setattr(segments, "load_segment", decode)
    stream = io.BufferedWriter(pipe, 1 << 20)
    with pytest.raises(KeyboardInterrupt):
        open_stream(bundle, stream, keys=[KEY])
    assert len(arrived) == 1
    assert arrived[0].startswith(b"YUV4MPEG2 W32 H18 ")
    assert arrived[0].endswith(b"\n")
