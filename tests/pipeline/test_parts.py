"""Parts of a video: which frames are meant, that they are those of the whole, and that little else is read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.container.format import Source
from neuralcipher.errors import UsageError
from neuralcipher.pipeline import segments
from neuralcipher.pipeline.opening import open_bundle, open_stream
from neuralcipher.pipeline.parts import Part, frames_part, part_of, segment_part, sound_of, time_part, whole
from neuralcipher.pipeline.stored import stored_audio, stored_video
from neuralcipher.video.metadata import VideoInfo
from neuralcipher.video.reading import probe, read_audio

KEY = Key(bytes(range(32)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine frames in three segments, with sound."""
    path = tmp_path_factory.mktemp("parts") / "v.ncv"
    options = SealOptions(max_frames=9, scale="64x-1", generator="chacha20", flow_options={"steps": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "_SEGMENT_FRAMES", 3)
        neuralcipher.seal(neuralcipher.demo_clip(), path, keys=[KEY], options=options)
    return path


@pytest.fixture(scope="module")
def info(bundle: Path) -> VideoInfo:
    with neuralcipher.container.BundleReader.open(bundle) as reader:
        reader.unlock([KEY])
        return stored_video(reader)


def shown(bundle: Path, part: Part = whole) -> list[bytes]:
    stream = io.BytesIO()
    report = open_stream(bundle, stream, keys=[KEY], part=part)
    frames = stream.getvalue().split(b"FRAME\n")[1:]
    assert report.frames == len(frames)
    return frames


@pytest.mark.parametrize(
    ("part", "numbers"),
    [
        (frames_part("0:1"), [0]),
        (frames_part("2:4"), [2, 3]),
        (frames_part("3:6"), [3, 4, 5]),
        (frames_part("1:9"), list(range(1, 9))),
        (frames_part(":"), list(range(9))),
        (frames_part("7:"), [7, 8]),
        (segment_part(0), [0, 1, 2]),
        (segment_part(2), [6, 7, 8]),
    ],
)
def test_a_part_is_what_the_whole_shows_there(bundle: Path, part: Part, numbers: list[int]) -> None:
    everything = shown(bundle)
    assert shown(bundle, part) == [everything[number] for number in numbers]


@pytest.mark.parametrize("text", ["", "5", "a:b", "5:5", "6:3", "0:10", "9:", "-1:3", "0:3:1", "1e3:2", "0x1:2", "٣:٤"])
def test_other_ranges_of_frames_are_refused(bundle: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        shown(bundle, frames_part(text))
    assert caught.value.hint


@pytest.mark.parametrize("number", [-1, 3, 10**9])
def test_a_segment_that_is_not_there_is_refused(bundle: Path, number: int) -> None:
    with pytest.raises(UsageError, match=rf"no segment {number}"):
        shown(bundle, segment_part(number))


def test_spans_of_time(info: VideoInfo) -> None:
    unit = info.time_base[0] / info.time_base[1]
    frame_s = (info.pts[1] - info.pts[0]) * unit

    def numbers(first: float, last: float) -> list[int]:
        return list(time_part(f"{first:.6f}-{last:.6f}")(info, []))

    assert numbers(0, 1000) == list(range(9))
    assert numbers(0, frame_s / 2) == [0]
    assert numbers(2.5 * frame_s, 4.5 * frame_s) == [2, 3, 4]
    assert numbers(8.5 * frame_s, 8.6 * frame_s) == [8]
    assert list(time_part("00:00:00-00:00:01")(info, [])) == list(time_part("0-1")(info, []))
    assert list(time_part("00:00.1-0:00:00.2")(info, [])) == numbers(0.1, 0.2)


@pytest.mark.parametrize("text", ["", "3", "1-", "-1", "2-1", "1-1", "a-b", "1-2-3", "1:2:3:4-5", "100-200", "1e2-1e3"])
def test_other_spans_of_time_are_refused(info: VideoInfo, text: str) -> None:
    with pytest.raises(UsageError):
        time_part(text)(info, [])


@given(st.data())
def test_every_moment_of_a_span_shows_one_of_its_frames(data: Any) -> None:
    """At any time within the span, the frame on the screen is in the part; no frame of it is off the screen."""
    gaps = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=12))
    pts = tuple(int(x) for x in np.cumsum([data.draw(st.integers(-40, 40)), *gaps]))
    info = VideoInfo(8, 8, (1, 100), pts, (25, 1), (1, 1), 1, 1, 1, 1, "420", "v", 0)
    length = int(info.duration_s * 100)
    first = data.draw(st.integers(0, length - 1))
    last = data.draw(st.integers(first + 1, length + 50))
    frames = time_part(f"{first / 100:.2f}-{last / 100:.2f}")(info, [])
    on_screen = [max(i for i, p in enumerate(pts) if p <= pts[0] + t) for t in range(first, min(last, length))]
    assert list(frames) == sorted(set(on_screen))


def test_opened_parts_keep_their_timestamps_and_their_sound(bundle: Path, tmp_path: Path, info: VideoInfo) -> None:
    report = open_bundle(bundle, tmp_path / "o.mkv", keys=[KEY], part=frames_part("3:9"))
    assert report.frames == 6
    opened = probe(tmp_path / "o.mkv")
    assert opened.info.frames == 6
    assert float(opened.info.duration_s) == pytest.approx(float(part_of(info, range(3, 9)).duration_s), abs=0.01)
    sound = read_audio(tmp_path / "o.mkv", opened.audio_end)
    assert sound is not None
    with neuralcipher.container.BundleReader.open(bundle) as reader:
        reader.unlock([KEY])
        stored = stored_audio(reader)
    assert stored is not None
    bodies = [packet.data for packet in stored.packets]
    places = [bodies.index(packet.data) for packet in sound.packets]
    assert places == list(range(places[0], places[0] + len(places)))
    begin = info.pts[3] * info.time_base[0] / info.time_base[1]
    unit = stored.time_base[0] / stored.time_base[1]
    assert 0 <= stored.packets[places[0]].pts * unit - begin < 0.03
    assert sound_of(stored, info, info) is stored


def test_only_the_chunks_of_the_part_are_read(bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sections of other segments stay encrypted, and their bytes unread."""
    big = tmp_path / "big.ncv"
    filled(bundle, big, 40 * 65_536)
    reads: list[tuple[int, int]] = []
    read = Source.read

    def counted(self: Source, offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return read(self, offset, length)

    monkeypatch.setattr(Source, "read", counted)
    part = shown(big, segment_part(1))
    few = sum(length for _, length in reads)
    assert part == shown(bundle, segment_part(1))
    assert big.stat().st_size > 3 * 40 * 65_536
    assert few < 10 * 65_552


def filled(source: Path, target: Path, count: int) -> None:
    """The same bundle with `count` bytes of another kind in front of every segment."""
    from neuralcipher.container import BundleReader, BundleWriter

    with BundleReader.open(source) as reader, target.open("wb") as file:
        reader.unlock([KEY])
        writer = BundleWriter.create_with_slots(file, reader.bundle_key, reader.slots, salt=reader.header.salt)
        for section in reader.sections:
            if section.kind == "generator":
                writer.add_section("filling", section.segment, bytes(count))
            writer.add_section(section.kind, section.segment, reader.read_section(section), **section.attributes)
        writer.finish(reader.metadata)
