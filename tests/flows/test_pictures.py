"""Frames before and behind a network: padding, grey, and pictures stored without loss."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
import torch
from flow_parts import moving_square, noise, texture
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.coding.binary import FieldReader
from neuralcipher.errors import BundleError
from neuralcipher.flows.pictures import StoredPicture, padded, picture_to_bytes, shrunk, without_colour


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("picture", [noise(1, 7, 5)[0], texture(16, 24, 1), torch.zeros(3, 1, 1, dtype=torch.uint8)])
def test_stored_pictures_lose_nothing(picture: torch.Tensor, channels: int) -> None:
    picture = picture[:channels]
    reader = FieldReader(picture_to_bytes(picture), "test")
    stored = StoredPicture(reader, tuple(picture.shape))
    reader.finish()
    assert torch.equal(stored.decode(), picture)


def test_a_picture_of_another_size_is_refused_before_its_pixels_exist() -> None:
    data = picture_to_bytes(torch.zeros(3, 700, 700, dtype=torch.uint8))
    stored = StoredPicture(FieldReader(data, "test"), (3, 8, 8))
    tracemalloc.start()
    with pytest.raises(BundleError, match="another size"):
        stored.decode()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_pictures_never_crash(data: st.DataObject) -> None:
    picture = noise(1, 6, 6)[0] if data.draw(st.booleans()) else texture(24, 24, 2)
    damaged = bytearray(picture_to_bytes(picture))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        shown = StoredPicture(FieldReader(bytes(damaged), "test"), tuple(picture.shape)).decode()
        assert shown.shape == picture.shape
    except BundleError:
        pass


@settings(max_examples=50)
@given(st.integers(0, 1), st.binary(max_size=100))
def test_bytes_that_are_no_picture_are_refused(kind: int, content: bytes) -> None:
    data = struct.pack("<BI", kind, len(content)) + content
    with pytest.raises(BundleError):
        StoredPicture(FieldReader(data, "test"), (3, 4, 4)).decode()


def test_frames_that_fit_are_not_copied() -> None:
    frames = moving_square(2, 8, 12)
    assert padded(frames, 4).data_ptr() == frames.data_ptr()
    grey = frames[:, :1].expand(-1, 3, -1, -1).contiguous()
    assert without_colour(grey).data_ptr() == grey.data_ptr()
    assert without_colour(frames) is frames


def test_padding_continues_the_edges() -> None:
    frames = noise(2, 5, 6)
    larger = padded(frames, 4)
    assert larger.shape == (2, 3, 8, 8)
    assert torch.equal(larger[:, :, :5, :6], frames)
    assert torch.equal(larger[:, :, 7, :6], frames[:, :, 4])
    assert torch.equal(larger[:, :, :5, 7], frames[:, :, :, 5])
    assert torch.equal(larger[:, :, 7, 7], frames[:, :, 4, 5])


def test_shrinking_takes_the_mean() -> None:
    frames = torch.tensor([[[[0, 10], [20, 30]]]], dtype=torch.uint8)
    assert shrunk(frames, 2).tolist() == [[[[15]]]]
