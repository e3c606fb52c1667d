"""The papers' encoders from a video to a bundle and back, as any other flow."""

from __future__ import annotations

import pytest
import torch

import neuralcipher
from neuralcipher import SealOptions
from neuralcipher.errors import UsageError
from neuralcipher.flows.base import find
from neuralcipher.flows.pictures import NO_LATENT
from neuralcipher.generators import base as generators
from neuralcipher.generators.checks import noncyclic
from neuralcipher.keys import SegmentSeed
from neuralcipher.pipeline.segments import start
from neuralcipher.pipeline.upkeep import rotate, verify

UNKEYED = {"recurrent": {"nconv": 4, "steps": 12}, "mlp": {"hidden": 4, "steps": 12}, "lstm": {"hidden": 2, "steps": 6}}


def options(flow: str, **changes: object) -> SealOptions:
    small = {"max_frames": 6, "scale": "32x18", "generator": "chacha20"}
    return SealOptions(flow=flow, flow_options=UNKEYED[flow], **small, **changes)


@pytest.mark.parametrize("flow", UNKEYED)
def test_seal_and_open(flow, tmp_path):
    key, other = neuralcipher.generate_key(), neuralcipher.generate_key()
    stages = set()
    report = neuralcipher.seal(
        neuralcipher.demo_clip(),
        tmp_path / "v.ncv",
        keys=[key],
        options=options(flow),
        progress=lambda progress: stages.add(progress.stage),
    )
    assert (report.frames, report.flow) == (6, flow)
    assert "fitting" in stages
    opened = neuralcipher.open_bundle(tmp_path / "v.ncv", tmp_path / "o.y4m", keys=[key])
    again = neuralcipher.open_bundle(tmp_path / "v.ncv", tmp_path / "p.y4m", keys=[key])
    assert opened.frames == again.frames == 6
    assert (tmp_path / "o.y4m").read_bytes() == (tmp_path / "p.y4m").read_bytes()
    with pytest.raises(neuralcipher.NeuralCipherError):
        neuralcipher.open_bundle(tmp_path / "v.ncv", tmp_path / "q.y4m", keys=[other])


def test_a_new_bundle_key_needs_no_training(tmp_path):
    key, other = neuralcipher.generate_key(), neuralcipher.generate_key()
    neuralcipher.seal(neuralcipher.demo_clip(), tmp_path / "v.ncv", keys=[key], options=options("mlp"))
    neuralcipher.open_bundle(tmp_path / "v.ncv", tmp_path / "before.y4m", keys=[key])
    rotate(tmp_path / "v.ncv", keys=[key], new_keys=[other])
    assert verify(tmp_path / "v.ncv", keys=[other]) == []
    neuralcipher.open_bundle(tmp_path / "v.ncv", tmp_path / "after.y4m", keys=[other])
    assert (tmp_path / "before.y4m").read_bytes() == (tmp_path / "after.y4m").read_bytes()


@pytest.mark.parametrize("flow", UNKEYED)
def test_a_bare_bundle_is_refused_with_the_reason(flow, tmp_path):
    with pytest.raises(UsageError, match=f"flow {flow} does not use the key, so a bare bundle would hide nothing"):
        neuralcipher.seal(
            neuralcipher.demo_clip(),
            tmp_path / "v.ncv",
            keys=[neuralcipher.generate_key()],
            options=options(flow, suite="bare"),
        )
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_is_named_with_those_there_are(tmp_path):
    with pytest.raises(UsageError, match="no option 'nconvs'") as caught:
        neuralcipher.seal(
            neuralcipher.demo_clip(),
            tmp_path / "v.ncv",
            keys=[neuralcipher.generate_key()],
            options=SealOptions(flow="recurrent", flow_options={"nconvs": 3}),
        )
    assert "nconv" in caught.value.hint


def test_an_unknown_flow_suggests_the_nearest():
    with pytest.raises(UsageError) as caught:
        find("recurent")
    assert caught.value.hint == "did you mean recurrent?"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["feistel", "chacha20", "autoencoder"])
def test_every_generator_takes_the_smallest_latent(name):
    z0 = start(SegmentSeed(bytes(32)), NO_LATENT, torch.device("cpu"))
    generator = generators.find(name).create(NO_LATENT, seed=bytes(32), z0=z0, progress=lambda fraction: None)
    assert noncyclic(generator, z0, 1000).ok
