"""Weights in every stored precision, and bytes that are none."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.coding.binary import FieldReader
from neuralcipher.coding.weights import (
    parameters_from_bytes,
    parameters_to_bytes,
    read_weight_bits,
    round_to_bits,
    step_exponent,
)
from neuralcipher.errors import BundleError, LimitError, PayloadDamagedError

SHAPES = [(3, 2), (4,), (1, 1, 2)]


def tensors() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=draw) for shape in SHAPES]


def read(data: bytes, bits: int) -> list[torch.Tensor]:
    reader = FieldReader(data, "test")
    found = parameters_from_bytes(reader, SHAPES, bits)
    reader.finish()
    return found


@pytest.mark.parametrize(("bits", "error"), [(32, 0.0), (16, 2**-11), (8, 2**-7), (4, 2**-2), (2, 1.0)])
def test_every_precision_comes_back_as_near_as_it_can(bits: int, error: float) -> None:
    exponents = [step_exponent(tensor, bits) for tensor in tensors()]
    back = read(parameters_to_bytes(tensors(), bits, exponents), bits)
    for stored, tensor in zip(back, tensors(), strict=True):
        assert stored.shape == tensor.shape
        assert (stored - tensor).abs().max() <= error * tensor.abs().max()


def test_half_precision_is_little_endian_and_clipped() -> None:
    assert parameters_to_bytes([torch.tensor([1.0, -2.0])], 16, []) == bytes.fromhex("003c00c0")
    assert parameters_to_bytes([torch.tensor([1.0])], 32, []) == bytes.fromhex("0000803f")
    assert round_to_bits(torch.tensor([1e6, -1e6]), 16).tolist() == [65504, -65504]


@pytest.mark.parametrize("bits", [16, 32])
def test_what_is_not_a_number_is_refused(bits: int) -> None:
    data = parameters_to_bytes(tensors(), bits, [])
    nan = struct.pack("<e" if bits == 16 else "<f", float("nan"))
    with pytest.raises(PayloadDamagedError, match="not a number"):
        read(nan + data[bits // 8 :], bits)


@pytest.mark.parametrize("bits", [2, 8, 16, 32])
def test_no_room_is_made_for_weights_that_are_not_there(bits: int) -> None:
    data = parameters_to_bytes([torch.ones(64)], bits, [step_exponent(torch.ones(64), bits)] if bits <= 8 else [])
    tracemalloc.start()
    with pytest.raises(BundleError):
        parameters_from_bytes(FieldReader(data, "test"), [(1 << 12, 1 << 12)], bits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 18


def test_weights_of_zero_fit_where_room_is_asked_for_them() -> None:
    zeros = [torch.zeros(1 << 16)]
    data = parameters_to_bytes(zeros, 8, [step_exponent(zeros[0], 8)])
    back = parameters_from_bytes(FieldReader(data, "test"), [(1 << 16,)], 8)
    assert torch.equal(back[0], zeros[0])


@settings(max_examples=100)
@given(st.sampled_from([2, 8, 16, 32]), st.binary(max_size=80))
def test_any_bytes_give_weights_or_an_error(bits: int, data: bytes) -> None:
    with contextlib.suppress(BundleError):
        assert [tuple(tensor.shape) for tensor in read(data, bits)] == SHAPES


def test_stored_precisions() -> None:
    for bits in range(256):
        reader = FieldReader(bytes([bits]), "test")
        if bits in (2, 3, 4, 5, 6, 7, 8, 16, 32):
            assert read_weight_bits(reader) == bits
        else:
            with pytest.raises(LimitError):
                read_weight_bits(reader)
