"""Where and in which precision networks run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

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


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone: small operations cost more to hand out than to do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _bfloat16_pays(device_type: str) -> bool:
    """Whether the processor computes in bfloat16; one without the instructions is ten times slower in it.

    Asked of the processor, not measured: two processes that fit the same frames must decide alike.
    """
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known and known())


def training_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """A context in which training runs in bfloat16 where that pays, else in float32."""
    if _bfloat16_pays(device.type):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
