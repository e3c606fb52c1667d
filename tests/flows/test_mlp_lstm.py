"""The flows of "Storing a Video in a Neural Network": t -> frame, and past frames -> frame."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest
import torch
from flow_parts import CPU, context, keys, moving_square, noise, psnr_db
from torch import Tensor

from neuralcipher.errors import BundleError, UsageError
from neuralcipher.flows.lstm import LstmConfig, LstmFlow, _Header, _Unrolled
from neuralcipher.flows.mlp import MlpConfig, MlpFlow, _times
from neuralcipher.flows.mlp import _Header as MlpHeader
from neuralcipher.flows.pictures import VideoHead


def fit(flow: type[MlpFlow] | type[LstmFlow], frames: Tensor, **options: Any) -> bytes:
    return flow(flow.config_type(**options)).fit(frames, keys(1), context())


def opened(flow: type[MlpFlow] | type[LstmFlow], section: bytes) -> Tensor:
    return torch.stack(list(flow.render(section, keys(1)((1, 16, 16)), CPU)))


def test_an_untrained_mlp_shows_about_the_mean() -> None:
    frames = moving_square(4, 12, 16)
    shown = opened(MlpFlow, fit(MlpFlow, frames, steps=0, weight_bits=32))
    mean = frames.float().mean(dim=0)
    assert (shown.float() - mean).abs().mean() < 40


def test_mlp_learns_and_an_encoding_of_time_helps() -> None:
    frames = moving_square(6, 12, 16)
    plain, encoded = (opened(MlpFlow, fit(MlpFlow, frames, steps=150, encoding=e)) for e in (0, 4))
    untrained = opened(MlpFlow, fit(MlpFlow, frames, steps=0))
    assert psnr_db(plain, frames) > psnr_db(untrained, frames) + 3
    assert psnr_db(encoded, frames) > psnr_db(plain, frames) + 3


def test_times_run_from_minus_one_to_one_with_their_frequencies() -> None:
    header = MlpHeader(VideoHead(5, 1, 1, 3), 1, 1, 2, 8)
    t = _times(torch.tensor([0, 1, 4]), header)
    expected = [[-1, 0, 0, -1, 1], [-0.5, -1, 0, 0, -1], [1, 0, 0, -1, 1]]  # t, sin pi t, sin 2 pi t, cos, cos
    assert torch.allclose(t, torch.tensor(expected), atol=1e-6)


def test_lstm_learns_with_true_frames_first() -> None:
    frames = moving_square(6, 12, 16)
    untrained = opened(LstmFlow, fit(LstmFlow, frames, steps=0))
    shown = opened(LstmFlow, fit(LstmFlow, frames, steps=150))
    assert torch.equal(shown[:2], frames[:2])
    assert psnr_db(shown[2:], frames[2:]) > psnr_db(untrained[2:], frames[2:]) + 3


def test_lstm_recall_sees_its_own_output_and_its_own_state() -> None:
    frames = noise(6, 2, 2)
    unrolled = _Unrolled(frames, _Header(VideoHead.of(frames), 3, 2, 8), 2, CPU)
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    one = torch.ones((), requires_grad=True)

    def network(past: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen.append((past, h, c))
        return one * torch.full((1, 12), 0.25), h + one, c + one

    for _ in range(3):
        unrolled.loss(network, 0.0)  # type: ignore[arg-type]
    truth = frames[:2].float().flatten()[None] / 255
    assert torch.equal(seen[0][0], truth)
    assert torch.equal(seen[1][0], torch.cat([truth[:, 12:], torch.full((1, 12), 0.25)], dim=1))
    assert bool((seen[2][0] == 0.25).all())
    assert all(state.requires_grad for state in seen[1])
    assert not any(state.requires_grad for state in seen[2]), "a window ends without a gradient"
    assert [float(h[0, 0].detach()) for _, h, _ in seen] == [0, 1, 2, 3, 0, 1], "four frames, then again from the first"


@pytest.mark.parametrize("count", [1, 2])
def test_a_video_shorter_than_the_past(count: int) -> None:
    frames = noise(count, 5, 7)
    shown = opened(LstmFlow, fit(LstmFlow, frames, past=4, steps=3))
    assert shown.shape == frames.shape
    assert torch.equal(shown[0], frames[0])


def test_an_lstm_of_the_same_units_is_larger() -> None:
    frames = moving_square(4, 16, 16)
    sizes = [len(fit(flow, frames, hidden=8, steps=5, weight_bits=16)) for flow in (MlpFlow, LstmFlow)]
    assert sizes[1] > 5 * sizes[0]


@pytest.mark.parametrize(("flow", "hidden"), [(MlpFlow, 4096), (LstmFlow, 1024)])
def test_a_network_too_large_to_store_is_refused_before_it_exists(flow: Any, hidden: int) -> None:
    with pytest.raises(UsageError, match="weights is above"):
        fit(flow, torch.zeros(3, 3, 100, 100, dtype=torch.uint8), hidden=hidden)


@pytest.mark.parametrize("flow", [MlpFlow, LstmFlow])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_size_out_of_proportion_is_refused_before_it_is_allocated(flow: Any, bits: int) -> None:
    section = bytearray(fit(flow, moving_square(3, 8, 8), hidden=2, steps=0, weight_bits=bits))
    for height, width in ((2000, 1000), (16_384, 8_192)):
        struct.pack_into("<HH", section, 5, height, width)
        tracemalloc.start()
        with pytest.raises(BundleError):
            flow.latent_shape(bytes(section))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


def test_configs_are_frozen() -> None:
    for config in (MlpConfig(), LstmConfig()):
        with pytest.raises(AttributeError):
            config.hidden = 3  # type: ignore[misc]
