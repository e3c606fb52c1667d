"""A small video in segments of two frames, for tests of who fits them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.generators import base as generators
from neuralcipher.generators.chacha20 import ChaCha20Generator
from neuralcipher.pipeline.options import Progress, SealReport

KEY = Key(bytes(range(32)))
_ARGUMENTS = ("jobs", "ray", "tell", "checkpoint_s")


def sealing(max_frames: int, steps: int, **where: Any) -> Callable[..., SealReport]:
    """A function that seals the demo clip; its keywords change options, and `where`, the arguments of `seal`."""
    small: dict[str, Any] = {
        "max_frames": max_frames,
        "segment_frames": 2,
        "scale": "32x-1",
        "flow": "mlp",
        "flow_options": {"steps": steps},
        "seed": 1,
        "generator": "chacha20",
    }

    def seal(output: Path, watch: Callable[[Progress], None] = lambda report: None, **changes: Any) -> SealReport:
        arguments = {name: changes.pop(name) for name in _ARGUMENTS if name in changes}
        options = SealOptions(**{**small, **changes})
        source = neuralcipher.demo_clip()
        return neuralcipher.seal(source, output, keys=[KEY], options=options, progress=watch, **{**where, **arguments})

    return seal


@contextmanager
def registered_here_only() -> Iterator[str]:
    """The name of a generator that other processes do not know."""
    generators.registry.register("only-here")(ChaCha20Generator)
    try:
        yield "only-here"
    finally:
        del generators.registry._registered["only-here"]
