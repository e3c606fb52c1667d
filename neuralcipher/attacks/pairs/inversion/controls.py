"""The subjects of the controls: small, so that most of a run's time is the target's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from neuralcipher.attacks.planted.flows import PlantedFlow, recipe
from neuralcipher.attacks.planted.generators import PREFIX
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject
from neuralcipher.coding.binary import FieldReader
from neuralcipher.flows.base import Flow
from neuralcipher.generators.base import Keystream

_FRAMES, _SIDE = 20, 16
_STILL = 2.0  # grey levels over time


class OpenFlow(PlantedFlow):
    """x_i = (z_i + 128) / 2, rounded down: linear and invertible to the last bit of z. Stores nothing of a video.

    A linear F that shows a given video from random latents is nearly singular: inverting it measures the solver's
    precision. This one shows what its keystream makes, which is all that a control of inversion needs.
    """

    name: ClassVar[str] = PREFIX + "open"

    def _body(self, frames: Tensor, keystream: Keystream) -> bytes:
        return b""

    @classmethod
    def _shown(
        cls, body: FieldReader, shape: tuple[int, int, int, int], keystream: Keystream, indices: range
    ) -> Iterator[Tensor]:
        body.finish()
        for i in indices:
            yield ((keystream.latent(i + 1).int() + 128) >> 1).to(torch.uint8)

    @classmethod
    def differentiable(cls, section: bytes) -> Callable[[Tensor], Tensor]:
        """F with gradients, see `neuralcipher.flows.autoencoder.AutoencoderFlow.differentiable`."""
        return lambda z: (256 * z + 128) / 510


def open_pair(run: Run, generator: str = "linear", side: int = _SIDE) -> PairSubject:
    """`OpenFlow` on a planted generator; its video is what the right key shows."""
    blank = torch.zeros((_FRAMES, 3, side, side), dtype=torch.uint8)
    pair = recipe(OpenFlow, generator).seal(OpenFlow.name, blank, run.key_bytes("control open", 0))
    return replace(pair, frames=pair.show(pair.z0))


def planted_like(subject: PairSubject, flow: type[Flow], run: Run) -> PairSubject:
    """A planted flow on the ChaCha20 generator that holds a small version of the subject's video."""
    return recipe(flow).seal(flow.name, control_frames(subject.frames), run.key_bytes(f"control {flow.name}", 0))


def control_frames(frames: Tensor) -> Tensor:
    """A small version of a video: at most 20 frames of 16x16, set in motion if the video is still."""
    small = F.interpolate(frames[:_FRAMES].float(), size=(_SIDE, _SIDE), mode="area")
    if float(small.std(dim=0).mean()) < _STILL:
        ramp = torch.linspace(0, 60, _SIDE) * torch.linspace(-1, 1, _SIDE)[:, None]
        small = torch.stack([(frame + ramp).roll((i // _SIDE, i), dims=(-2, -1)) for i, frame in enumerate(small)])
    return small.round().clamp(0, 255).to(torch.uint8)
