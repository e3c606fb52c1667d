"""Where and in which precision networks run."""

from __future__ import annotations

import contextlib
import time
from functools import lru_cache

import torch
from torch import nn

from neuralcipher.errors import UsageError


def resolve_device(name: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device. Raises UsageError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device was found", hint="use --device cpu, or install a build of torch with CUDA")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"no device is called {name!r}", hint="use auto, cpu or cuda")
    return torch.device(name)


def place(network: nn.Module, device: torch.device) -> None:
    """Move a network to `device`, its convolutions laid out as channels_last, which both kinds of processor like."""
    for parameter in network.parameters():
        layout = torch.channels_last if parameter.dim() == 4 else torch.contiguous_format
        parameter.data = parameter.data.to(device=device, memory_format=layout)


@lru_cache(maxsize=4)
def _bfloat16_pays(device_type: str) -> bool:
    """Whether a convolution runs faster in bfloat16 here; processors without the instructions are ten times slower."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        layer = nn.Conv2d(16, 16, 3, padding=1, dtype=dtype)
        x = torch.ones(1, 16, 48, 48, dtype=dtype).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            layer(x)
            started = time.perf_counter()
            for _ in range(3):
                layer(x)
        seconds[dtype] = time.perf_counter() - started
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]


def training_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """A context in which training runs in bfloat16 where that pays, else in float32."""
    if _bfloat16_pays(device.type):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
