"""The stored form of a latent flow: bytes and back, masks, and limits before anything is allocated."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from flow_parts import keys
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.errors import BundleError, LimitError, PayloadDamagedError, ShapeError, UnsupportedError
from neuralcipher.flows.latent.section import (
    MAX_BATCH_PIXELS,
    MAX_BLOCKS_PER_BYTE,
    MAX_FRAMES,
    MAX_SIDE,
    VERSION,
    LatentSection,
    most_frames,
    parse,
)
from neuralcipher.flows.latent.structure import count_frames

KEY = 0x81
plans = st.lists(st.just(KEY) | st.integers(1, 64), max_size=6).map(lambda rest: bytes([KEY, *rest]))


@st.composite
def sections(draw: st.DrawFn) -> LatentSection:
    plan = draw(plans)
    messages = draw(st.lists(st.binary(max_size=300), min_size=len(plan) + 1, max_size=len(plan) + 1))
    messages[1] += b"1"
    return LatentSection(draw(st.integers(1, 300)), draw(st.integers(1, 300)), plan, tuple(messages))


@given(sections())
def test_a_section_comes_back(section: LatentSection) -> None:
    assert parse(section.to_bytes()) == section
    assert section.frames == count_frames(section.plan)


def test_a_section_by_hand() -> None:
    section = LatentSection(17, 300, bytes([KEY, 2]), (b"head", b"", bytes(200)))
    assert section.to_bytes() == (
        bytes([VERSION]) + b"\3\0\0\0" + b"\x11\0" + b"\x2c\1" + b"\2\x81\2" + b"\4\0\xc8\1" + b"head" + bytes(200)
    )


@settings(max_examples=50)
@given(sections(), st.integers(1, 2**16))
def test_a_mask_is_its_own_inverse_and_the_latent_is_large_enough(section: LatentSection, seed: int) -> None:
    keystream = keys(seed)(section.latent_shape)
    masked = section.masked(keystream)
    assert (masked.height, masked.width, masked.plan) == (section.height, section.width, section.plan)
    assert masked.latent_shape == section.latent_shape
    assert masked.masked(keystream) == section
    for number, message in enumerate(section.messages):
        clear, spare = masked.unmask(number, keystream)
        z = keystream.latent(number + 1).reshape(-1).numpy().tobytes()
        assert clear == message
        assert bytes(a ^ b for a, b in zip(message, z, strict=False)) == masked.messages[number]
        # the spare bytes go on where the mask of this message ended, so that they never mask anything
        assert spare == z[len(message) : len(message) + section.spare_bytes]
        assert len(spare) == section.spare_bytes


def test_spare_bytes_grow_with_the_pictures_up_to_a_limit() -> None:
    """A message of a wrong key must not run out: then a picture's emptiness would tell how long the true one is."""
    small = LatentSection(64, 64, bytes([KEY]), (b"", b"1"))
    long = LatentSection(64, 64, bytes([KEY, 16]), (b"", b"1", b""))
    huge = LatentSection(16_384, 8192, bytes([KEY, 64]), (b"", b"1", b""))
    assert small.spare_bytes == 64 + 64
    assert long.spare_bytes == 16 * 64 + 64
    assert huge.spare_bytes == 1 << 20


def test_a_mask_that_is_too_small_is_refused() -> None:
    section = LatentSection(8, 8, bytes([KEY]), (b"", bytes(2000)))
    with pytest.raises(ShapeError):
        section.masked(keys(1)((8, 8, 8)))


GOOD = LatentSection(17, 33, bytes([KEY, 4, KEY, 1]), (b"head", b"first", b"", b"x", b"yy"))


@given(st.integers(0, 100), st.binary(max_size=8))
def test_every_cut_and_every_tail_is_damage(cut: int, tail: bytes) -> None:
    data = GOOD.to_bytes()
    with pytest.raises((PayloadDamagedError, LimitError)):
        parse(data[: cut % len(data)])
    if tail:
        with pytest.raises(PayloadDamagedError, match="too many"):
            parse(data + tail)


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: GOOD.to_bytes()[:10] + tail))
def test_any_bytes_are_a_section_or_damage(data: bytes) -> None:
    try:
        section = parse(data)
    except BundleError:
        return
    assert section.frames >= 1
    assert len(section.messages) == len(section.plan) + 1
    assert parse(section.to_bytes()) == section


@pytest.mark.parametrize(
    ("offset", "layout", "value", "error"),
    [
        (0, "B", VERSION - 1, UnsupportedError),
        (0, "B", VERSION + 1, UnsupportedError),
        (1, "I", 0, LimitError),
        (1, "I", MAX_FRAMES + 1, LimitError),
        (1, "I", 8, PayloadDamagedError),  # the groups hold seven
        (5, "H", 0, LimitError),
        (5, "H", MAX_SIDE + 1, LimitError),
        (7, "H", 0, LimitError),
        (7, "H", MAX_SIDE + 1, LimitError),
        (9, "B", 0, PayloadDamagedError),
        (9, "B", 3, PayloadDamagedError),
        (9, "B", 8, LimitError),  # more groups than frames
        (10, "B", 4, PayloadDamagedError),  # does not begin with a key frame
        (11, "B", 0, PayloadDamagedError),
        (11, "B", 65, PayloadDamagedError),
        (12, "B", 0x82, PayloadDamagedError),
        (15, "B", 0x7F, PayloadDamagedError),  # a message that is not there
    ],
)
def test_fields_out_of_range(offset: int, layout: str, value: int, error: type[Exception]) -> None:
    data = bytearray(GOOD.to_bytes())
    struct.pack_into("<" + layout, data, offset, value)
    with pytest.raises(error):
        parse(bytes(data))


@pytest.mark.parametrize(
    "plan", [b"\x01", b"\x04\x81", b"\x82", b"\x81\x02\x00", b"\x81\x41", b"\x81\x02\x80", b"\x81\xff"]
)
def test_groups_that_are_none_are_damage_even_where_they_add_up(plan: bytes) -> None:
    section = LatentSection(8, 8, plan, (b"head", *(b"x" for _ in plan)))
    assert section.to_bytes()[1:5] == struct.pack("<I", count_frames(plan))
    with pytest.raises(PayloadDamagedError, match="groups"):
        parse(section.to_bytes())


def test_a_message_above_the_limit() -> None:
    head = GOOD.to_bytes()[:14]
    with pytest.raises(LimitError):
        parse(head + b"\x81\x80\x80\x08" + bytes(20))  # 2**24 + 1


@pytest.mark.parametrize(
    ("height", "width", "first"), [(16_384, 16_384, 4096), (16_384, 8192, 1023), (2000, 2000, 30), (8, 8, 0)]
)
def test_a_size_out_of_proportion_is_refused_before_it_is_allocated(height: int, width: int, first: int) -> None:
    section = LatentSection(height, width, bytes([KEY, 64]), (b"", bytes(first), b"")).to_bytes()
    tracemalloc.start()
    with pytest.raises(LimitError):
        parse(section)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 16


def test_groups_that_take_too_much_memory_are_refused() -> None:
    """A kilobyte may claim 130 megapixels; in a group of 64 they would be decoded 32 at a time."""
    height, width = 4096, 8192
    for length in (2, 3, 4, 5, 6, 16, 64):
        section = LatentSection(height, width, bytes([KEY, length]), (b"", bytes(1024), b"")).to_bytes()
        if length // 2 * height * width <= MAX_BATCH_PIXELS:
            assert length <= most_frames(height, width) + 1
            assert parse(section).frames == length + 1
        else:
            assert length > most_frames(height, width)
            with pytest.raises(LimitError):
                parse(section)
    # four times the pixels of high definition in groups of 16 are within the limit, and so is any frame alone
    assert most_frames(2160, 3840) == 16
    assert most_frames(16_384, 8192) == 1


def test_a_size_in_proportion_is_not() -> None:
    blocks = 2 * MAX_BLOCKS_PER_BYTE
    assert parse(LatentSection(8, 8 * 2000, bytes([KEY]), (b"", b"1")).to_bytes()).width == 16_000
    assert parse(LatentSection(8 * 4, 8 * (blocks // 4), bytes([KEY]), (b"", b"12")).to_bytes()).height == 32
