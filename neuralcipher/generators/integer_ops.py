"""Exact integer convolution on float hardware.

Why it is exact: activations are integers of at most 8 significant bits, weights of at most 7, so that every
product is
representable in float32, and its factors in TF32 and bfloat16 too. Every partial sum is an integer below
2**22, which
float32 accumulates without rounding, in any order; the order is the only thing in which devices, thread
counts and
batch sizes differ. Winograd and FFT convolutions do round, and are avoided.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

ROUNDER = 0x4B400000
"""The bits of float32 1.5 * 2**23: that float plus an integer |h| < 2**22 has the bits ROUNDER + h, exactly."""

ROUNDER_FLOAT = float(3 << 22)

SUM_LIMIT = 1 << 22

_onednn_available: Callable[[], bool] = torch.backends.mkldnn.is_available


def exact_convolve(x: Tensor, weight: Tensor, rounder: Tensor, *, dilation: int = 1, stride: int = 1) -> Tensor:
    """3x3 convolution without padding: ROUNDER + h as int32, laid out as channels_last.

    x: (N, C, H, W) and weight: (D, C, 3, 3), integers in float32 or float64 as the module says, |sums| < 2**22.
    rounder: (D,) of 1.5 * 2**23, plus an integer bias if wanted. Call it with autocast switched off.
    """
    if x.is_cpu and torch.backends.mkldnn.enabled and _onednn_available():
        # oneDNN, and torch's own path for small inputs, compute sums of products in some order.
        if x.dtype == torch.float32:
            h = F.conv2d(x, weight, rounder, stride=stride, dilation=dilation)
            return h.contiguous(memory_format=torch.channels_last).view(torch.int32)
        sums = F.conv2d(x, weight, rounder, stride=stride, dilation=dilation)
    else:
        # cuDNN and NNPACK may choose Winograd or FFT; a matrix product is sums of products everywhere.
        height, width = ((size - 2 * dilation - 1) // stride + 1 for size in x.shape[2:])
        columns = F.unfold(x, 3, dilation=dilation, stride=stride)
        sums = weight.reshape(weight.shape[0], -1) @ columns + rounder[:, None]
        sums = sums.reshape(x.shape[0], -1, height, width)
    whole = sums.contiguous(memory_format=torch.channels_last).to(torch.int32)
    return whole.add_(ROUNDER - (3 << 22))
