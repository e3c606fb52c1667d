"""The default flow: keyed, entropy-coded motion and residual latents, and a synthesis that repairs what it decodes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from neuralcipher.coding.bits import BitReader
from neuralcipher.coding.entropy import MessageDecoder
from neuralcipher.flows.ahead import ahead
from neuralcipher.flows.base import FitContext, KeystreamFactory, check_frames
from neuralcipher.flows.device import one_thread
from neuralcipher.flows.latent import section as stored
from neuralcipher.flows.latent.config import LatentConfig
from neuralcipher.flows.latent.head import Head
from neuralcipher.flows.latent.history import FrameLatents, History, read_batch
from neuralcipher.flows.latent.model import EntropyModel, network_shapes
from neuralcipher.flows.latent.network import REPAIRED_LEVELS, shipped_weights
from neuralcipher.flows.latent.structure import CodedFrame, Group, groups
from neuralcipher.flows.latent.synthesis import Synthesis
from neuralcipher.flows.latent.warp import BLOCK, SQUARE
from neuralcipher.generators.base import Keystream, Shape


class LatentFlow:
    """f_1 is a keyed bijection (latents XOR keystream), the rest synthesises frames.

    A wrong key decodes to latents drawn from the model's prior: another picture, not an error.
    """

    name = "latent"
    keyed = True
    rate_controlled = True
    config_type = LatentConfig

    def __init__(self, config: LatentConfig | None = None) -> None:
        self._config = config or LatentConfig()

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Code and train on frames (N, 3, H, W) uint8; see `Flow.fit`."""
        check_frames(frames)
        # here, since only sealing needs OpenCV
        from neuralcipher.flows.latent.fitting import fit

        with one_thread():
            plain = fit(frames, self._config, context)
        return plain.masked(make_keystream(plain.latent_shape)).to_bytes()

    @classmethod
    def latent_shape(cls, section: bytes) -> Shape:
        """(C, H, W) of z; see `Flow.latent_shape`."""
        return stored.parse(section).latent_shape

    @classmethod
    def video_shape(cls, section: bytes) -> tuple[int, int, int]:
        """(N, H, W) of its frames; see `Flow.video_shape`."""
        parsed = stored.parse(section)
        return parsed.frames, parsed.height, parsed.width

    @classmethod
    def parameters(cls, section: bytes) -> int:
        """Of the entropy model and the repairing network, which ship; what a video changes is counted in its bytes."""
        stored.parse(section)
        shipped = sum(math.prod(shape) for shape, _ in network_shapes())
        return shipped + sum(weight.numel() for weight in shipped_weights())

    @classmethod
    def render(
        cls, section: bytes, keystream: Keystream, device: torch.device, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Yield frames start..stop-1, (3, H, W) uint8; see `Flow.render`."""
        parsed = stored.parse(section)
        stop = parsed.frames if stop is None else min(stop, parsed.frames)
        head = Head.from_bytes(*parsed.unmask(0, keystream))
        shown = _Shown(head, parsed, device)
        plan = [group for group in groups(parsed.plan) if group.start < stop]
        first = max((group.start for group in plan if group.is_key and group.start <= start), default=0)
        read = ahead(_decode(parsed, plan, keystream, head.quality))
        made: dict[int, Tensor] = {}
        for frame, decoded, residual in ahead(_synthesise(read, first, Synthesis(head.quality, device)), 2):
            if start <= frame.index < stop:
                made[frame.index] = shown.picture(decoded, residual, frame.level)
            while start in made:
                yield made.pop(start)
                start += 1

    @classmethod
    def remask(cls, section: bytes, old: Keystream, new: Keystream) -> bytes:
        """Swap one mask for another; see `Flow.remask`."""
        return stored.parse(section).masked(old).masked(new).to_bytes()


def _decode(
    parsed: stored.LatentSection, plan: Sequence[Group], keystream: Keystream, quality: int
) -> Iterator[tuple[Group, list[FrameLatents]]]:
    """The groups and their frames in coding order."""
    model = EntropyModel()
    blocks = [-(-side // SQUARE) * (SQUARE // BLOCK) for side in (parsed.height, parsed.width)]
    history = History(*blocks)
    for number, group in enumerate(plan):
        channel = BitReader(MessageDecoder(*parsed.unmask(number + 1, keystream)))
        found: list[FrameLatents] = []
        for batch in group.batches:
            found += read_batch(batch, history, model, channel, quality)
        history.forget(group.keep)
        yield group, found


def _synthesise(
    read: Iterable[tuple[Group, list[FrameLatents]]], first: int, synthesis: Synthesis
) -> Iterator[tuple[CodedFrame, Tensor, Tensor]]:
    """Frames from `first` on in coding order, each decoded and its residual, (H, W, 4)."""
    for group, latents in read:
        if group.start < first:  # its latents are needed, its pictures are not
            continue
        needed = group.references() | group.keep
        while latents:  # each is dropped as soon as it is used
            stored = latents.pop(0)
            decoded, residual = synthesis.finish(stored, synthesis.predict(stored.frame, stored.motion))
            if stored.frame.index not in needed:
                synthesis.drop(stored.frame.index)
            yield stored.frame, decoded, residual
        synthesis.forget(group.keep)


class _Shown:
    """From decoded frames to pictures."""

    def __init__(self, head: Head, parsed: stored.LatentSection, device: torch.device) -> None:
        self._colour, self._quality = head.colour, head.quality
        self._size = parsed.height, parsed.width
        self._network = head.network(device)

    def picture(self, decoded: Tensor, residual: Tensor, level: int) -> Tensor:
        """(3, H, W) uint8 of a frame (H, W, 4)."""
        height, width = self._size
        shown = decoded[None]
        if self._network is not None and level < REPAIRED_LEVELS:
            levels = torch.tensor([level], device=shown.device)
            with torch.no_grad():
                shown = self._network(shown, residual[None], levels, torch.full_like(levels, self._quality))
        return self._colour.pictures(shown[:, :height])[0, :, :, :width].cpu()
