"""Laws of what a bundle remembers: round trips, limits, and that no bytes whatever break the parsers."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from fractions import Fraction
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.errors import BundleError, LimitError, PayloadDamagedError
from neuralcipher.video.metadata import AudioPacket, AudioTrack, VideoInfo, safe_name
from neuralcipher.video.packing import pack_column, pack_times, unpack_column, unpack_times

INT64 = st.integers(-(2**63), 2**63 - 1)
RATIO = st.tuples(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))

INFO = VideoInfo(
    width=320,
    height=180,
    time_base=(1, 12800),
    pts=tuple(range(0, 60 * 512, 512)),
    average_rate=(25, 1),
    sample_aspect=(1, 1),
    primaries=2,
    transfer=2,
    space=1,
    color_range=1,
    pixel_family="420",
    source_name="bunny.mp4",
    source_bytes=254437,
)

infos = st.builds(
    VideoInfo,
    width=st.integers(1, 8192),
    height=st.integers(1, 8192),
    time_base=RATIO,
    pts=st.lists(INT64, min_size=1, max_size=40).map(tuple),
    average_rate=RATIO,
    sample_aspect=RATIO,
    primaries=st.integers(0, 255),
    transfer=st.integers(0, 255),
    space=st.integers(0, 255),
    color_range=st.integers(0, 2),
    pixel_family=st.sampled_from(["420", "422", "444", "grey"]),
    source_name=st.text().map(safe_name),
    source_bytes=st.integers(0, 2**63 - 1),
)

packets = st.builds(
    AudioPacket,
    pts=st.integers(-(2**62), 2**62),
    dts=st.integers(-(2**62), 2**62),
    duration=st.integers(0, 2**40),
    key=st.booleans(),
    data=st.binary(max_size=30),
)
tracks = st.builds(
    AudioTrack,
    codec=st.sampled_from(["aac", "opus", "pcm_s16le"]),
    extradata=st.binary(max_size=40),
    sample_rate=st.integers(1, 2**20),
    layout=st.sampled_from(["mono", "stereo", "5.1", "5.1(side)", "3 channels"]),
    time_base=RATIO,
    packets=st.lists(packets, max_size=12).map(tuple),
    skip_start=st.integers(0, 2**31 - 1),
    skip_end=st.integers(0, 2**31 - 1),
)


@given(infos)
def test_a_description_survives_msgpack(info: VideoInfo) -> None:
    stored = msgpack.packb(info.to_dict(), use_bin_type=True)
    assert VideoInfo.from_dict(msgpack.unpackb(stored, raw=False)) == info


def test_a_constant_frame_rate_costs_almost_nothing() -> None:
    hour = dataclasses.replace(INFO, pts=tuple(range(0, 90_000 * 512, 512)))
    assert len(hour.to_dict()["pts"]) < 200


@given(tracks)
def test_a_sound_track_survives(track: AudioTrack) -> None:
    assert AudioTrack.from_bytes(track.to_bytes()) == track


def mutate(data: bytes, edits: list[tuple[int, int]], cut: int | None) -> bytes:
    changed = bytearray(data)
    for at, value in edits:
        changed[at % len(changed)] = value
    return bytes(changed[:cut] if cut is not None else changed)


EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=300)
@given(tracks, EDITS, st.none() | st.integers(0, 400))
def test_damaged_sound_sections_raise_only_our_errors(
    track: AudioTrack, edits: list[tuple[int, int]], cut: int | None
) -> None:
    damaged = mutate(track.to_bytes(), edits, cut)
    try:
        again = AudioTrack.from_bytes(damaged)
    except BundleError:
        return
    assert AudioTrack.from_bytes(again.to_bytes()) == again


@settings(max_examples=300)
@given(infos, EDITS)
def test_damaged_descriptions_raise_only_our_errors(info: VideoInfo, edits: list[tuple[int, int]]) -> None:
    stored = mutate(msgpack.packb(info.to_dict(), use_bin_type=True), edits, None)
    try:
        fields = msgpack.unpackb(stored, raw=False, strict_map_key=False)
    except Exception:
        return  # the container's parser refuses these
    try:
        VideoInfo.from_dict(fields)
    except BundleError:
        return


@given(st.binary(max_size=300))
def test_any_bytes_as_sound_raise_only_our_errors(data: bytes) -> None:
    with pytest.raises(BundleError):
        AudioTrack.from_bytes(data)


JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    2**64,
    1.5,
    "x",
    b"x",
    [],
    [1],
    [1, 0],
    [0, 1],
    [1, True],
    [1, 2, 3],
    {},
]


@pytest.mark.parametrize("name", sorted(INFO.to_dict()))
@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_every_field_is_checked(name: str, value: Any) -> None:
    allowed = {
        "source_bytes": [0],
        "source_name": ["x"],
        "primaries": [0],
        "transfer": [0],
        "space": [0],
        "color_range": [0],
    }
    if any(type(value) is type(good) and value == good for good in allowed.get(name, [])):
        return
    with pytest.raises((PayloadDamagedError, LimitError)):
        VideoInfo.from_dict({**INFO.to_dict(), name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 16385},
        {"height": 2**40},
        {"width": 16384, "height": 16384},
        {"frames": 10**7 + 1},
        {"time_base": [1, 2**31]},
    ],
)
def test_limits(changes: dict[str, Any]) -> None:
    with pytest.raises(LimitError):
        VideoInfo.from_dict({**INFO.to_dict(), **changes})


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "a\u202etxt", "a\u2028", "x" * 256, "é" * 128, "\ud800"],
)
def test_unsafe_names_are_refused_and_made_safe(name: str) -> None:
    with pytest.raises(PayloadDamagedError):
        VideoInfo.from_dict({**INFO.to_dict(), "source_name": name})
    assert VideoInfo.from_dict({**INFO.to_dict(), "source_name": safe_name(name)})


def test_missing_and_unknown_fields_are_refused() -> None:
    fields = INFO.to_dict()
    with pytest.raises(PayloadDamagedError):
        VideoInfo.from_dict({**fields, "more": 1})
    del fields["width"]
    with pytest.raises(PayloadDamagedError):
        VideoInfo.from_dict(fields)


def test_timestamps_that_inflate_beyond_their_number_are_refused() -> None:
    with pytest.raises(PayloadDamagedError):
        unpack_times(pack_times(list(range(10**6))), 5, what="timestamps")


def test_columns_by_hand() -> None:
    # zig-zag: 0 -> 0, -1 -> 1, 1 -> 2, 64 -> 128 = 80 01
    assert unpack_column(pack_column([0, -1, 1, 64]), 4, what="numbers") == [0, -1, 1, 64]
    with pytest.raises(PayloadDamagedError):
        unpack_column(pack_column([0, 1]), 3, what="numbers")
    with pytest.raises(PayloadDamagedError):
        unpack_column(pack_column([0]) + b"x", 1, what="numbers")
    with pytest.raises(PayloadDamagedError):
        unpack_times(pack_times([2**63]), 1, what="timestamps")


def test_end_time_is_the_last_frames_end() -> None:
    assert INFO.end_time == Fraction(60, 25)
    one = dataclasses.replace(INFO, pts=(512,))
    assert one.end_time == Fraction(2, 25)


def test_importing_metadata_imports_neither_av_nor_torch() -> None:
    code = "import sys, neuralcipher.video.metadata; sys.exit(bool({'av', 'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
