"""The neural peers, trained for the same seconds on the same cores: NeRV, HNeRV and the paper's autoencoder flow.

NeRV and HNeRV are trained with Adam on the squared error of one frame a step, with a short warm-up and a cosine
schedule over the budget. Weights and embeddings are then rounded to 8 bits, entropy-coded and read back: bytes and
frames are those of the coded network. The width is the one whose expected size is nearest to the wanted one.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from clips import Frames
from nerv import HNeRV, NeRV
from sealed import CPU
from torch import Tensor, nn
from torch.nn import functional as F

from neuralcipher.coding.binary import FieldReader
from neuralcipher.coding.weights import load_parameters, step_exponent, weights_from_bytes, weights_to_bytes
from neuralcipher.flows.algorithm1 import Algorithm1
from neuralcipher.flows.device import place

Network = NeRV | HNeRV
N = TypeVar("N", NeRV, HNeRV)

_BITS = 8
# Of a weight after entropy coding, measured; the autoencoder flow trains on its grid and ends with fewer.
_EXPECTED_BITS, _AUTOENCODER_BITS = 6.7, 6.1
_EMBEDDING_SHARE = 0.1  # of the bytes; of large networks the HNeRV paper gives it about 5 %
_RATE = 5e-3  # the papers' 5e-4 and 1e-3 learn too slowly in minutes: tried were 1e-3, 2e-3, 5e-3 and 1e-2
_WARM_UP = 0.1
_CLIP = 1.0
_HEAD = "<IHHHH"


def nerv_for(size_bytes: int, frames: Frames) -> NeRV:
    """An untrained NeRV whose file will have about `size_bytes`."""
    height, width, _ = frames[0].shape
    return nearest(lambda channels: NeRV(channels, len(frames), height, width), size_bytes, 0)


def hnerv_for(size_bytes: int, frames: Frames) -> HNeRV:
    """An untrained HNeRV whose file will have about `size_bytes`, embeddings included."""
    height, width, _ = frames[0].shape
    cells = math.prod(HNeRV(1, 1, height, width).grid) * len(frames)
    embedding = max(1, min(16, round(_EMBEDDING_SHARE * size_bytes / cells)))
    return nearest(lambda channels: HNeRV(channels, embedding, height, width), size_bytes, cells * embedding)


def nconv_for(size_bytes: int, overhead_bytes: int, segments: int) -> int:
    """The filters of the autoencoder flow for about so many bytes of bundle."""

    def expected(nconv: int) -> float:
        weights = sum(p.numel() for p in Algorithm1(nconv).parameters())
        return overhead_bytes + segments * weights * _AUTOENCODER_BITS / 8

    return min(range(1, 257), key=lambda nconv: abs(expected(nconv) - size_bytes))


def nearest(make: Callable[[int], N], size_bytes: int, embedded: int) -> N:
    """The network of the width that comes nearest to `size_bytes`, beside so many embedded numbers."""

    def expected(channels: int) -> float:
        with torch.device("meta"):  # shapes only
            weights = sum(p.numel() for p in decoder_parameters(make(channels)))
        return (weights + embedded) * _EXPECTED_BITS / 8

    channels = 2
    while expected(channels + 1) < size_bytes:
        channels += 1
    torch.manual_seed(0)
    return make(min(channels, channels + 1, key=lambda near: abs(expected(near) - size_bytes)))


def decoder_parameters(network: nn.Module) -> list[nn.Parameter]:
    """What is stored: everything but the encoder."""
    return [p for name, p in network.named_parameters() if not name.startswith("encoder.")]


def train(network: Network, frames: Frames, budget_s: float, *, rate: float = _RATE, seed: int = 0) -> int:
    """Train for `budget_s` seconds; returns the number of steps."""
    started = time.monotonic()
    torch.manual_seed(seed)
    place(network, CPU)
    truth = padded(network, frames)
    height, width, _ = frames[0].shape
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    order: list[int] = []
    steps = 0
    while (done := (time.monotonic() - started) / budget_s) < 1:
        order = order or torch.randperm(len(frames)).tolist()
        index = order.pop()
        x = truth[index : index + 1].float() / 255
        code = network.codes(x) if isinstance(network, HNeRV) else torch.tensor([index])
        loss = F.mse_loss(network(code)[..., :height, :width], x[..., :height, :width])
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (done + 1e-3) / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * done))
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        steps += 1
    return steps


def padded(network: Network, frames: Frames) -> Tensor:
    """(N, 3, H', W') uint8: frames repeated at their edges up to whole cells."""
    height, width, _ = frames[0].shape
    cell = math.prod(network.strides)
    rows, columns = network.grid
    more = ((0, rows * cell - height), (0, columns * cell - width), (0, 0))
    pictures = np.stack([np.pad(frame, more, mode="edge") for frame in frames])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def to_bytes(network: Network, frames: Frames) -> bytes:
    """The coded network: what a decoder needs besides this program."""
    tensors: list[Tensor] = list(decoder_parameters(network))
    embedding = 0
    if isinstance(network, HNeRV):
        with torch.no_grad():
            codes = torch.cat([network.codes(x[None].float() / 255) for x in padded(network, frames)])
        mean = codes.mean(dim=(0, 2, 3), keepdim=True)
        tensors = [codes - mean, mean, *tensors]
        embedding = codes.shape[1]
    height, width, _ = frames[0].shape
    head = struct.pack(_HEAD, len(frames), height, width, network.channels, embedding)
    return head + weights_to_bytes(tensors, [step_exponent(t.detach(), _BITS) for t in tensors])


def from_bytes(data: bytes) -> Frames:
    """The frames of a coded network."""
    reader = FieldReader(data, "coded network")
    count, height, width, channels, embedding = struct.unpack(_HEAD, reader.take(struct.calcsize(_HEAD)))
    network: Network = NeRV(channels, count, height, width)
    shapes: list[tuple[int, ...]] = []
    if embedding:
        network = HNeRV(channels, embedding, height, width)
        shapes = [(count, embedding, *network.grid), (1, embedding, 1, 1)]
    parameters = decoder_parameters(network)
    tensors = weights_from_bytes(reader, [*shapes, *(tuple(p.shape) for p in parameters)])
    codes = tensors[0] + tensors[1] if embedding else torch.arange(count)
    stored = nn.ParameterList(parameters)
    load_parameters(stored, tensors[len(shapes) :])
    place(network, CPU)
    shown: Frames = []
    with torch.no_grad():
        for index in range(count):
            picture = network(codes[index : index + 1])[0, :, :height, :width]
            shown.append((picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
    return shown
