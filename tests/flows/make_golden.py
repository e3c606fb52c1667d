"""Make the golden section of the latent flow again: `python tests/flows/make_golden.py`.

To be run only where the format changes on purpose: another coding, another stored prior. Every section that was sealed
before then decodes to something else, so it goes with a new `section.VERSION`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flow_parts import CPU, keys, panning, texture

from neuralcipher.flows.latent.encoding import SegmentEncoder, Tuning
from neuralcipher.flows.latent.flow import _decode
from neuralcipher.flows.latent.head import Changes, Head
from neuralcipher.flows.latent.network import shipped_weights
from neuralcipher.flows.latent.section import VERSION, LatentSection, parse
from neuralcipher.flows.latent.structure import groups
from neuralcipher.flows.latent.transform import Colour

GOLDEN = Path(__file__).with_name("golden_latent.json")
SIDE, QUALITY = 32, 60


def decoded(section: bytes, seed: int) -> dict[str, str]:
    """SHA-256 of everything that the section says under keystream `seed`, as little-endian integers of 64 bits."""
    parsed, keystream = parse(section), keys(seed)(parse(section).latent_shape)
    head = Head.from_bytes(*parsed.unmask(0, keystream))
    frames = [f for _, found in _decode(parsed, groups(parsed.plan), keystream, head.quality) for f in found]
    heads = [np.array([*head.colour.values, head.quality, head.repairs])]
    if head.changes is not None:
        heads += [np.array(head.changes.exponents), *(level.numpy() for level in head.changes.levels)]
    parts: dict[str, list[Any]] = {
        "head": heads,
        "order": [np.array([f.frame.index, f.frame.level, f.frame.first, f.frame.second]) for f in frames],
        "motion": [part for f in frames for part in (f.motion.mode, f.motion.vectors, f.motion.split)],
        "latents": [f.latents for f in frames],
    }
    return {
        name: hashlib.sha256(b"".join(part.astype("<i8").tobytes() for part in arrays)).hexdigest()
        for name, arrays in parts.items()
    }


def make() -> dict[str, Any]:
    """Four frames of a moving picture and then another picture, with a few changes to the network."""
    frames = torch.cat([panning(4, SIDE, SIDE, seed=1), texture(SIDE, SIDE, seed=2)[None]])
    colour = Colour.fit(frames.permute(0, 2, 3, 1).reshape(-1, 3).float() / 255)
    encoder = SegmentEncoder(colour.apply(frames), frames, CPU)
    attempt = encoder.encode(QUALITY, lambda *report: None, Tuning(length=2))
    draw = np.random.default_rng(1)
    levels = []
    for weight in shipped_weights():
        some = draw.integers(-40, 41, tuple(weight.shape)) * (draw.random(tuple(weight.shape)) < 0.004)
        levels.append(torch.from_numpy(some))
    head = Head(colour, QUALITY, True, Changes((13,) * len(levels), tuple(levels)))
    plain = LatentSection(SIDE, SIDE, attempt.plan, (head.to_bytes(), *attempt.messages))
    section = plain.masked(keys(1)(plain.latent_shape)).to_bytes()
    return {
        "version": VERSION,
        "section": base64.b64encode(section).decode(),
        "right key": decoded(section, 1),
        "wrong key": decoded(section, 2),
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(make(), indent=2) + "\n")
