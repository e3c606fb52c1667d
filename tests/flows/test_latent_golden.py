"""A stored section decodes to the same integers forever: the coder, the model's file and `constriction` are a format.

Where this fails on purpose, see make_golden.py.
"""

from __future__ import annotations

import base64
import json

import pytest
import torch
from flow_parts import render
from make_golden import GOLDEN, SIDE, decoded

from neuralcipher.flows.latent import LatentFlow
from neuralcipher.flows.latent.section import VERSION, parse
from neuralcipher.flows.latent.structure import ANCHOR_LEVEL, groups

golden = json.loads(GOLDEN.read_text())
section = base64.b64decode(golden["section"])


def test_the_golden_section_is_of_this_version_and_shows_every_kind_of_frame() -> None:
    assert golden["version"] == VERSION == section[0]
    levels = [frame.level for group in groups(parse(section).plan) for batch in group.batches for frame in batch]
    assert levels.count(0) == 2
    assert ANCHOR_LEVEL in levels
    assert max(levels) > ANCHOR_LEVEL


@pytest.mark.parametrize(("name", "seed"), [("right key", 1), ("wrong key", 2)])
def test_the_golden_section_decodes_to_the_same_integers(name: str, seed: int) -> None:
    """Under the wrong key as well: there the integers are large, and the spare bytes are read."""
    assert decoded(section, seed) == golden[name]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_golden_section_renders(seed: int) -> None:
    frames = torch.stack(render(LatentFlow, section, seed))
    assert frames.shape == (5, 3, SIDE, SIDE)
    assert frames.dtype == torch.uint8
