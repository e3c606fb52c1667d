"""What is stored are integers, and they come back the same whatever the machine does with floats."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from flow_parts import CPU, keys, render, scenes, scenes_rendered, scenes_section

from neuralcipher.coding import bits
from neuralcipher.flows.latent import LatentFlow, synthesis
from neuralcipher.flows.latent.history import FrameLatents
from neuralcipher.flows.latent.synthesis import Synthesis


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def integers(monkeypatch: pytest.MonkeyPatch, seed: int = 1, noise: float = 0.0) -> list[FrameLatents]:
    """What `render` decodes, in coding order; frames are disturbed by `noise` as they are synthesised."""
    section, found = scenes_section(), list[FrameLatents]()  # fitted before anything is disturbed
    finish = Synthesis.finish
    draw = torch.Generator().manual_seed(7)

    def disturbed(self: Synthesis, stored: FrameLatents, prediction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found.append(stored)
        prediction = prediction + noise * torch.randn(prediction.shape, generator=draw)
        return finish(self, stored, prediction)

    with monkeypatch.context() as patch:
        patch.setattr(synthesis.Synthesis, "finish", disturbed)
        pictures = torch.stack(render(LatentFlow, section, seed))
    if seed == 1:
        assert torch.equal(pictures, scenes_rendered()) == (noise == 0)
    return found


def same(one: list[FrameLatents], other: list[FrameLatents]) -> bool:
    return [a.frame for a in one] == [b.frame for b in other] and all(
        np.array_equal(a.latents, b.latents)
        and np.array_equal(a.motion.mode, b.motion.mode)
        and np.array_equal(a.motion.vectors, b.motion.vectors)
        and np.array_equal(a.motion.split, b.motion.split)
        for a, b in zip(one, other, strict=True)
    )


def test_integers_do_not_depend_on_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, threads: Callable[[int], None]
) -> None:
    found = []
    for count in (1, 2):
        threads(count)
        found.append(integers(monkeypatch))
    assert len(found[0]) == len(scenes())
    assert same(*found)
    assert any(frame.latents.any() for frame in found[0])


@pytest.mark.parametrize("noise", [1e-6, 0.5, float("nan")])
def test_integers_do_not_depend_on_the_pictures(monkeypatch: pytest.MonkeyPatch, noise: float) -> None:
    assert same(integers(monkeypatch), integers(monkeypatch, noise=noise))


def test_integers_of_a_wrong_key_do_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (integers(monkeypatch, seed=2, noise=noise) for noise in (0.0, 0.5))
    assert same(one, other)
    assert not same(one, integers(monkeypatch))


def test_only_the_frames_that_are_needed_are_synthesised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frame alone, and a frame of the second scene without the first one."""
    made: list[int] = []
    finish = Synthesis.finish

    def counted(self: Synthesis, stored: FrameLatents, prediction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        made.append(stored.frame.index)
        return finish(self, stored, prediction)

    monkeypatch.setattr(Synthesis, "finish", counted)
    render(LatentFlow, scenes_section(), 1, 0, 1)
    assert made == [0]
    made.clear()
    render(LatentFlow, scenes_section(), 1, 6, 7)
    assert made == [6]


def test_decoding_asks_for_no_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("float code lengths are for the encoder only")

    monkeypatch.setattr(bits, "_cost_table", fail)
    assert torch.equal(torch.stack(render(LatentFlow, scenes_section(), 1)), scenes_rendered())


def test_decoding_needs_no_optical_flow() -> None:
    """Opening must work where OpenCV does not: nothing that `render` uses imports it."""
    script = (
        "import sys; sys.modules['cv2'] = None\n"
        "import torch\n"
        "from neuralcipher.flows.latent import LatentFlow\n"
        "from neuralcipher.generators.base import Keystream\n"
        "from neuralcipher.generators.chacha20 import ChaCha20Generator\n"
        "section = sys.stdin.buffer.read()\n"
        "shape = LatentFlow.latent_shape(section)\n"
        "keystream = Keystream(ChaCha20Generator(shape, bytes(32)), torch.zeros(shape, dtype=torch.uint8))\n"
        "print(len(list(LatentFlow.render(section, keystream, torch.device('cpu')))))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=scenes_section(), capture_output=True, check=True)
    assert int(done.stdout) == len(scenes())


def test_a_latent_moved_to_another_device_masks_the_same() -> None:
    """The keystream is integers too: a second one, asked out of order, unmasks the same section."""
    shape = LatentFlow.latent_shape(scenes_section())
    stream = keys(1)(shape)
    stream.latent(5)
    assert torch.equal(torch.stack(list(LatentFlow.render(scenes_section(), stream, CPU))), scenes_rendered())
