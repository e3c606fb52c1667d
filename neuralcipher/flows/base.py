"""What every flow F offers: fit it to frames and a keystream, render the frames again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from neuralcipher.errors import ShapeError
from neuralcipher.flows.notes import Notes
from neuralcipher.generators.base import Keystream, Shape
from neuralcipher.registry import Registry

KeystreamFactory = Callable[[Shape], Keystream]


@dataclass(frozen=True, slots=True)
class FitProgress:
    """One report while a flow is fitted.

    fraction: 0..1 of the budget. psnr_db: of the frames last looked at. size_bytes: estimate of the section.
    """

    step: int
    fraction: float
    psnr_db: float
    size_bytes: int


ProgressCallback = Callable[[FitProgress], None]


@dataclass(frozen=True, slots=True)
class FitContext:
    """What a fit may use beside the frames.

    budget_s: seconds to spend. seed: of every random draw. device: where to train.
    progress: called now and then; may raise to stop the fit, and the exception passes through.
    target_bytes, target_psnr_db: what a flow that is rate_controlled aims at instead of its quality, at most one.
    tell: called with a sentence for the user where the fit departs from what was asked.
    notes: what an earlier process had reached of this fit, and where this one keeps what it reaches.
    """

    budget_s: float
    seed: int
    device: torch.device
    progress: ProgressCallback
    target_bytes: int | None = None
    target_psnr_db: float | None = None
    tell: Callable[[str], None] = lambda sentence: None
    notes: Notes = field(default_factory=Notes)


class Flow(Protocol):
    """F = f_1 .. f_M: maps the keystream to frames. Source: Neural Video Encoding, eq. 5.

    name: as registered. keyed: whether the frames depend on the keystream (else it is never sealed `bare`).
    rate_controlled: whether `fit` heeds the targets of its context.
    config_type: a frozen dataclass of the options, every field with a default.
    """

    name: ClassVar[str]
    keyed: ClassVar[bool]
    rate_controlled: ClassVar[bool]
    config_type: ClassVar[type[Any]]

    def __init__(self, config: Any = None) -> None: ...

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Train on frames (N, 3, H, W) uint8 and return the section to store.

        make_keystream: called once, with the latent shape this flow wants; its z_1.. then belong to the frames in
        order. A fit that was stopped goes on from the context's notes. Raises CheckFailedError if the fit diverges.
        """
        ...

    @classmethod
    def latent_shape(cls, section: bytes) -> Shape:
        """(C, H, W) of the latents that a stored section needs. Raises PayloadDamagedError, LimitError."""
        ...

    @classmethod
    def video_shape(cls, section: bytes) -> tuple[int, int, int]:
        """(N, H, W) of the frames that a stored section says it shows; reads no more than it needs for that.

        Raises PayloadDamagedError, LimitError.
        """
        ...

    @classmethod
    def parameters(cls, section: bytes) -> int:
        """Weights of the networks of F, stored in the section or shipped. Raises PayloadDamagedError, LimitError."""
        ...

    @classmethod
    def render(
        cls, section: bytes, keystream: Keystream, device: torch.device, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Yield frames start..stop-1, each (3, H, W) uint8. A wrong keystream yields other frames, not an error."""
        ...

    @classmethod
    def remask(cls, section: bytes, old: Keystream, new: Keystream) -> bytes:
        """Move a section from one keystream to another without training. Raises UsageError if that cannot be."""
        ...


class Unkeyed:
    """What flows have in common whose frames depend on no key: they can be sealed, and are never `bare`."""

    keyed: ClassVar[bool] = False
    rate_controlled: ClassVar[bool] = False

    @classmethod
    def remask(cls, section: bytes, old: Keystream, new: Keystream) -> bytes:
        """The same section: nothing in it depends on a keystream."""
        return section


def check_frames(frames: Tensor) -> None:
    """Raise ShapeError unless frames is (N, 3, H, W) uint8 with at least one frame."""
    if frames.dtype != torch.uint8 or frames.dim() != 4 or frames.shape[1] != 3 or not len(frames):
        raise ShapeError("frames must be uint8 of shape (N, 3, H, W) with N >= 1")


registry: Registry[type[Flow]] = Registry("neuralcipher.flows", "flow")
register = registry.register


def find(name: str) -> type[Flow]:
    """The flow called `name`. Raises UsageError, naming the nearest, if there is none."""
    return registry.get(name)
