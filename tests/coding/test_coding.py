"""Bounded parsing, entropy coding and weights: round trips, and nothing but our errors on other bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.coding.binary import FieldReader, pack_block, pack_varint
from neuralcipher.coding.entropy import MessageDecoder, MessageEncoder
from neuralcipher.coding.weights import step_exponent, step_size, weights_from_bytes, weights_to_bytes
from neuralcipher.errors import LimitError, NeuralCipherError, PayloadDamagedError


@given(st.lists(st.integers(0, 2**60)))
def test_varints_round_trip(values):
    reader = FieldReader(b"".join(map(pack_varint, values)), "test")
    assert [reader.varint(2**60) for _ in values] == values
    reader.finish()


def test_reader_refuses():
    with pytest.raises(PayloadDamagedError, match="ends too early"):
        FieldReader(b"\1", "test").u32()
    with pytest.raises(LimitError, match="1000 bytes"):
        FieldReader(pack_block(bytes(1000)), "test").block(999)
    with pytest.raises(PayloadDamagedError, match="too many"):
        FieldReader(b"\1", "test").finish()
    with pytest.raises(PayloadDamagedError, match="shortest"):
        FieldReader(b"\x80\0", "test").varint(10)
    with pytest.raises(LimitError):
        FieldReader(b"\xff" * 12, "test").varint(2**62)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(1, 20), st.integers(2, 40))
def test_messages_round_trip(seed, count, contexts, alphabet):
    draw = np.random.default_rng(seed)
    tables = draw.integers(1, 5000, (contexts, alphabet))
    encoder = MessageEncoder()
    parts = []
    for _ in range(3):
        where, what = draw.integers(0, contexts, count), draw.integers(0, alphabet, count)
        plain = draw.integers(0, 65536, count // 7)
        encoder.add(where, what, tables)
        encoder.add_escapes(plain)
        parts.append((where, what, plain))
    decoder = MessageDecoder(encoder.to_bytes())
    for where, what, plain in parts:
        assert np.array_equal(decoder.read(where, tables), what)
        assert np.array_equal(decoder.read_escapes(len(plain)), plain)


@given(st.binary(max_size=200))
def test_any_bytes_decode(data):
    tables = np.array([[1, 7, 2], [100, 1, 1]])
    symbols = MessageDecoder(data).read(np.arange(64) % 2, tables)
    assert set(symbols) <= {0, 1, 2}


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.sampled_from([0.0, 1e-6, 0.1, 30.0]))
def test_weights_round_trip_within_half_a_step(seed, bits, scale):
    draw = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(shape, generator=draw) * scale for shape in ((3, 4), (7,), (2, 2, 3, 3))]
    exponents = [step_exponent(tensor, bits) for tensor in tensors]
    reader = FieldReader(weights_to_bytes(tensors, exponents), "test")
    back = weights_from_bytes(reader, [tensor.shape for tensor in tensors])
    reader.finish()
    for tensor, exponent, other in zip(tensors, exponents, back, strict=True):
        assert other.shape == tensor.shape
        assert float((tensor - other).abs().max()) <= step_size(exponent) * 0.5001


@given(st.binary(max_size=80))
def test_weights_from_any_bytes(data):
    try:
        tensors = weights_from_bytes(FieldReader(data, "test"), [(3, 3), (2,)])
    except NeuralCipherError:
        return
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
