"""Recall: the network is applied to its own output, and true frames put it right again where they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from neuralcipher.errors import ShapeError
from neuralcipher.flows.pictures import picture_to_bytes, to_bytes, to_unit
from neuralcipher.flows.training import Apply

Inject = Callable[[int, Tensor | None], Tensor | None]
"""Frame number and what was recalled -> true frames (up to d, C, H, W) uint8 to go on from, or None."""

_FINEST_DB, _HALVINGS = 100.0, 12


def recall(
    network: Apply | None, inject: Inject, dilation: int, device: torch.device, start: int, stop: int
) -> Iterator[tuple[Tensor, bool]]:
    """Yield frames start..stop-1, each (C, H, W) uint8, and whether it is a true one.

    start: a number where `inject` gives frames whatever was recalled. A true frame takes the place of the whole
    state: d of them are stored at once, as at the beginning. Source: Neural Video Encoding, eq. 2.
    """
    state: Tensor | None = None
    number = start
    while number < stop:
        shown = None
        if state is not None and network is not None:
            with torch.no_grad():
                state = network(state).float().nan_to_num(0.0).clamp(0, 1)
            shown = to_bytes(state[0].chunk(dilation)[-1]).cpu()
        truth = inject(number, shown)
        if truth is None:
            if shown is None:
                raise ShapeError("recall begins with true frames, and there are none")
            yield shown, False
            number += 1
            continue
        for frame in truth[: stop - number]:
            yield frame, True
        number += len(truth)
        state = to_unit(truth.to(device)).flatten(0, 1)[None] if len(truth) == dilation else None


class KeyFrames:
    """Chooses after training where recall needs true frames. frames: (N, C, H, W) uint8, padded to the network's size.

    visible: (height, width) that counts; the rest is padding.
    """

    def __init__(
        self, network: Apply | None, frames: Tensor, visible: tuple[int, int], dilation: int, device: torch.device
    ) -> None:
        self._network, self._frames, self._visible = network, frames, visible
        self._dilation, self._device = dilation, device
        self._stored: dict[int, list[bytes]] = {}

    def bytes_at(self, number: int) -> list[bytes]:
        """The true frames that are stored for a key-frame there."""
        if number not in self._stored:
            self._stored[number] = [picture_to_bytes(f) for f in self._truth(number)]
        return self._stored[number]

    def above(self, threshold_db: float) -> list[int]:
        """0, and every frame at which recall, put right at those before it, falls below the threshold."""
        chosen: list[int] = []

        def inject(number: int, shown: Tensor | None) -> Tensor | None:
            if shown is not None and self._psnr_db(number, shown) >= threshold_db:
                return None
            chosen.append(number)
            return self._truth(number)

        for _ in recall(self._network, inject, self._dilation, self._device, 0, len(self._frames)):
            pass
        return chosen

    def within(self, size_bytes: int) -> list[int]:
        """The frames for the highest threshold whose key-frames, beside the first, take at most so many bytes."""
        best, low, high = [0], 0.0, _FINEST_DB
        for _ in range(_HALVINGS):
            threshold = (low + high) / 2
            chosen = self.above(threshold)
            if sum(len(data) for number in chosen[1:] for data in self.bytes_at(number)) <= size_bytes:
                best, low = chosen, threshold
            else:
                high = threshold
        return best

    def shown(self, anchors: list[int]) -> tuple[Tensor, Tensor]:
        """All recalled frames (N, C, H, W) uint8, and which of them are true (N,)."""

        def inject(number: int, shown: Tensor | None) -> Tensor | None:
            return self._truth(number) if number in anchors else None

        made = torch.empty_like(self._frames)
        true = torch.zeros(len(self._frames), dtype=torch.bool)
        pairs = recall(self._network, inject, self._dilation, self._device, 0, len(self._frames))
        for number, (frame, is_true) in enumerate(pairs):
            made[number], true[number] = frame, is_true
        return made, true

    def _truth(self, number: int) -> Tensor:
        return self._frames[number : number + self._dilation]

    def _psnr_db(self, number: int, shown: Tensor) -> float:
        height, width = self._visible
        difference = shown[:, :height, :width].float() - self._frames[number, :, :height, :width].float()
        return float(10 * torch.log10(255**2 / difference.square().mean().clamp_min(1e-6)))
