"""NeRV and HNeRV, written from their papers for pictures of any size and networks of any width.

Both paint a grid of a few dozen cells and enlarge it by blocks of convolution, pixel shuffle and GELU. Pictures are
padded to whole cells. Left out: pruning (NeRV), and every later refinement by others.
Sources: Chen et al., NeRV: Neural Representations for Videos, 2021; Chen et al., HNeRV: A Hybrid Neural
Representation for Videos, 2023.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# HNeRV's own are 5, 4, 4, 2, 2 at 1280x640; smaller pictures want fewer.
_STRIDES = (
    (2, 2, 2),
    (3, 2, 2),
    (4, 2, 2),
    (5, 2, 2),
    (3, 2, 2, 2),
    (5, 3, 2),
    (4, 2, 2, 2),
    (3, 3, 2, 2),
    (5, 2, 2, 2),
    (4, 3, 2, 2),
    (5, 3, 2, 2),
    (4, 4, 2, 2),
    (5, 4, 2, 2),
    (5, 3, 2, 2, 2),
    (5, 4, 2, 2, 2),
    (5, 4, 4, 2, 2),
)
_NERV_CELLS = (8, 64)
_HNERV_CELLS = (6, 24)  # fewer cells of more numbers each, as HNeRV's 2x4 of 16
_FREQUENCIES, _BASE = 80, 1.25  # NeRV's positional embedding
_REDUCTION = 1.2  # HNeRV: channels from block to block
_ENCODER_CHANNELS = 16


def strides_for(height: int, width: int, cells: tuple[int, int]) -> tuple[int, ...]:
    """The strides that pad the picture least, of those that leave so many cells (least and most)."""

    def padding(strides: tuple[int, ...]) -> tuple[bool, float, int]:
        rows, columns = grid_for(height, width, strides)
        outside = not cells[0] <= rows * columns <= cells[1]
        return outside, rows * columns * math.prod(strides) ** 2 / (height * width), -math.prod(strides)

    return min(_STRIDES, key=padding)


def grid_for(height: int, width: int, strides: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of cells that cover a picture."""
    cell = math.prod(strides)
    return -(-height // cell), -(-width // cell)


class UpBlock(nn.Module):
    """Convolution, pixel shuffle, GELU: (B, c, h, w) to (B, c', s h, s w)."""

    def __init__(self, inputs: int, outputs: int, stride: int, kernel: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(inputs, outputs * stride**2, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge."""
        return F.gelu(F.pixel_shuffle(self.conv(x), self.stride))


class NeRV(nn.Module):
    """Frame number to frame: positional embedding, two dense layers, blocks with kernel 3, a 1x1 head.

    Channels are halved once, after the first block, down to the paper's "lower width".
    """

    def __init__(self, channels: int, frames: int, height: int, width: int) -> None:
        super().__init__()
        self.strides = strides = strides_for(height, width, _NERV_CELLS)
        self.grid = grid_for(height, width, strides)
        self.frames, self.channels = frames, channels
        hidden = 2 * channels
        cells = math.prod(self.grid)
        self.stem = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, hidden), nn.GELU(), nn.Linear(hidden, channels * cells), nn.GELU()
        )
        widths = [channels, channels, *[max(4, round(channels / 2))] * (len(strides) - 1)]
        self.blocks = nn.Sequential(*(UpBlock(widths[i], widths[i + 1], s, 3) for i, s in enumerate(strides)))
        self.head = nn.Conv2d(widths[-1], 3, 1)

    def forward(self, number: Tensor) -> Tensor:
        """(B,) numbers to (B, 3, H', W') in [0, 1]."""
        angle = (number[:, None] / self.frames) * math.pi * _BASE ** torch.arange(_FREQUENCIES)
        x = self.stem(torch.cat([angle.sin(), angle.cos()], dim=1))
        x = self.blocks(x.view(len(number), self.channels, *self.grid).contiguous(memory_format=torch.channels_last))
        return torch.tanh(self.head(x)) / 2 + 0.5


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) to the same shape."""
        last = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return last.permute(0, 3, 1, 2)


class ConvNeXtStage(nn.Module):
    """Shrink by `stride`, then one ConvNeXt block (Liu et al., 2022): normalised before all but the first shrinking."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        shrink = nn.Conv2d(inputs, outputs, stride, stride=stride)
        order = [shrink, ChannelNorm(outputs)] if inputs == 3 else [ChannelNorm(inputs), shrink]
        self.shrink = nn.Sequential(*order)
        self.block = nn.Sequential(
            nn.Conv2d(outputs, outputs, 7, padding=3, groups=outputs),
            ChannelNorm(outputs),
            nn.Conv2d(outputs, 4 * outputs, 1),
            nn.GELU(),
            nn.Conv2d(4 * outputs, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) to (B, c', h / s, w / s)."""
        shrunk: Tensor = self.shrink(x)
        return shrunk + self.block(shrunk)


class HNeRV(nn.Module):
    """Embedding of a few numbers to frame; the encoder that makes the embeddings is not stored.

    Kernels are 1, 3 and then 5; channels shrink by 1.2 from block to block.
    """

    def __init__(self, channels: int, embedding: int, height: int, width: int) -> None:
        super().__init__()
        self.strides = strides = strides_for(height, width, _HNERV_CELLS)
        self.grid = grid_for(height, width, strides)
        self.channels = channels
        inner = [_ENCODER_CHANNELS] * (len(strides) - 1)
        sizes = [3, *inner, embedding]
        self.encoder = nn.Sequential(*(ConvNeXtStage(sizes[i], sizes[i + 1], s) for i, s in enumerate(strides)))
        widths = [channels, *(max(4, round(channels / _REDUCTION ** (i + 1))) for i in range(len(strides)))]
        self.first = nn.Conv2d(embedding, channels, 1)
        self.blocks = nn.Sequential(
            *(UpBlock(widths[i], widths[i + 1], s, min(1 + 2 * i, 5)) for i, s in enumerate(strides))
        )
        self.head = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def codes(self, frames: Tensor) -> Tensor:
        """The embeddings (N, d, h, w) of padded frames (N, 3, H', W') in [0, 1]."""
        embeddings: Tensor = self.encoder(frames)
        return embeddings

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, d, h, w) to (B, 3, H', W') in [0, 1]."""
        x = self.blocks(F.gelu(self.first(embedding)))
        return torch.tanh(self.head(x)) / 2 + 0.5
