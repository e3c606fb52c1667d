"""Network weights to few bytes and back: uniform quantisation, then range coding with a stored integer scale."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from neuralcipher.coding.binary import FieldReader, pack_block
from neuralcipher.coding.entropy import IntArray, MessageDecoder, MessageEncoder

MAX_WEIGHTS = 1 << 24
_LEVEL_LIMIT = 127
_STEPS_PER_OCTAVE = 8
_DECAYS = 48
_HALF_LIMIT = 65504.0


def step_exponent(weight: Tensor, bits: int) -> int:
    """The coarsest grid 2**(e/8) on which `weight` fits into signed integers of `bits` bits; returns e, an int8."""
    levels = 2 ** (bits - 1) - 1
    peak = float(weight.abs().max()) if weight.numel() else 0.0
    if peak <= 0 or not math.isfinite(peak):
        return -128
    return max(-128, min(127, math.ceil(_STEPS_PER_OCTAVE * math.log2(peak / levels))))


def step_size(exponent: int) -> float:
    """The grid step that an exponent stands for."""
    return float(2.0 ** (exponent / _STEPS_PER_OCTAVE))


def quantise_through(weight: Tensor, exponent: int) -> Tensor:
    """Weights on their grid, with the gradient of the identity (straight-through), for training with quantisation."""
    step = step_size(exponent)
    return weight + (torch.round(weight / step) * step - weight).detach()


def _decay_table(decay: int, levels: int) -> IntArray:
    """Counts of a two-sided geometric law over -levels..levels, by integer arithmetic alone.

    decay: 0..47; the ratio between neighbours is about exp(-1 / 2**(decay / 6)).
    """
    ratio = _RATIOS[decay]
    counts = [1 << 20]
    for _ in range(levels):
        counts.append(max(1, counts[-1] * ratio >> 16))
    return np.array(counts[:0:-1] + counts, dtype=np.int64)


# exp(-1 / 2**(d / 6)) in units of 2**-16, written out so that no machine's exp() takes part in decoding.
_RATIOS = (
    24109, 26889, 29633, 32314, 34905, 37389, 39750, 41978, 44069, 46019, 47828, 49501,
    51039, 52451, 53741, 54917, 55986, 56957, 57835, 58629, 59346, 59992, 60573, 61096,
    61565, 61987, 62364, 62703, 63006, 63277, 63520, 63737, 63930, 64104, 64258, 64397,
    64520, 64630, 64728, 64816, 64894, 64964, 65026, 65081, 65131, 65175, 65214, 65249,
)  # fmt: skip


def weights_to_bytes(tensors: Iterable[Tensor], exponents: Sequence[int]) -> bytes:
    """Quantise tensors on the grids 2**(e/8) and code them; levels beyond +-127 are clipped.

    Per tensor 3 bytes of header (exponent, decay, largest level), then one message for all.
    """
    head = bytearray()
    encoder = MessageEncoder()
    for tensor, exponent in zip(tensors, exponents, strict=True):
        values = torch.round(tensor.detach().double().cpu() / step_size(exponent)).reshape(-1).numpy()
        symbols = np.clip(values, -_LEVEL_LIMIT, _LEVEL_LIMIT).astype(np.int64)
        levels = max(1, int(np.abs(symbols).max(initial=0)))
        histogram = np.bincount(symbols + levels, minlength=2 * levels + 1)
        costs = []
        for decay in range(_DECAYS):
            table = _decay_table(decay, levels)
            costs.append(float(histogram @ (np.log2(table.sum()) - np.log2(table))))
        decay = int(np.argmin(costs))
        head += struct.pack("<bBB", exponent, decay, levels)
        encoder.add(np.zeros_like(symbols), symbols + levels, _decay_table(decay, levels)[None])
    return bytes(head) + pack_block(encoder.to_bytes())


def weights_from_bytes(reader: FieldReader, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Read float32 tensors of the given shapes. Raises PayloadDamagedError or LimitError on anything else.

    Nothing is allocated for weights that the bytes left could not hold.
    """
    count = reader.bounded(sum(math.prod(shape) for shape in shapes), 0, MAX_WEIGHTS)
    # The narrowest law, three levels with ratio e**-1, still takes 0.79 bits for its most frequent level.
    if count > 16 * reader.remaining:
        raise reader.damaged(f"has no room for its {count} weights")
    heads = []
    for _ in shapes:
        exponent = reader.u8()
        heads.append((exponent - 256 if exponent > 127 else exponent, reader.u8(0, _DECAYS - 1), reader.u8(1, 127)))
    decoder = MessageDecoder(reader.block(2 * MAX_WEIGHTS))
    tensors = []
    for shape, (exponent, decay, levels) in zip(shapes, heads, strict=True):
        contexts = np.zeros(math.prod(shape), dtype=np.int64)
        symbols = decoder.read(contexts, _decay_table(decay, levels)[None]) - levels
        tensors.append(torch.from_numpy(symbols).to(torch.float32).mul(step_size(exponent)).reshape(tuple(shape)))
    return tensors


def load_parameters(module: nn.Module, tensors: Sequence[Tensor]) -> None:
    """Put tensors into the module's parameters, in their order."""
    with torch.no_grad():
        for parameter, tensor in zip(module.parameters(), tensors, strict=True):
            parameter.copy_(tensor)


def round_to_bits(weight: Tensor, bits: int) -> Tensor:
    """Weights as they are stored in floating point of 16 or 32 bits; beyond the range of 16 they are clipped."""
    if bits == 32:
        return weight
    return weight.clamp(-_HALF_LIMIT, _HALF_LIMIT).half().to(weight.dtype)


def parameters_to_bytes(tensors: Iterable[Tensor], bits: int, exponents: Sequence[int]) -> bytes:
    """`weights_to_bytes` for 2..8 bits; little-endian floating point for 16 and 32."""
    if bits <= 8:
        return weights_to_bytes(tensors, exponents)
    layout = "<f2" if bits == 16 else "<f4"
    return b"".join(round_to_bits(t.detach().cpu(), bits).numpy().astype(layout).tobytes() for t in tensors)


def parameters_from_bytes(reader: FieldReader, shapes: Sequence[Sequence[int]], bits: int) -> list[Tensor]:
    """Read what `parameters_to_bytes` wrote. Raises PayloadDamagedError or LimitError on anything else.

    Nothing is allocated for weights that the bytes left could not hold.
    """
    if bits <= 8:
        return weights_from_bytes(reader, shapes)
    reader.bounded(sum(math.prod(shape) for shape in shapes), 0, MAX_WEIGHTS)
    size = bits // 8
    tensors = []
    for shape in shapes:
        values = np.frombuffer(reader.take(size * math.prod(shape)), dtype="<f2" if bits == 16 else "<f4")
        if not np.isfinite(values).all():
            raise reader.damaged("has a weight that is not a number")
        tensors.append(torch.from_numpy(values.astype(np.float32)).reshape(tuple(shape)))
    return tensors


def read_weight_bits(reader: FieldReader) -> int:
    """A byte that says in how many bits weights follow: 2..8, 16 or 32."""
    bits = reader.u8(2, 32)
    return bits if bits in (16, 32) else reader.bounded(bits, 2, 8)
