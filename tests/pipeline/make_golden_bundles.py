"""Seal the golden bundles: `python tests/pipeline/make_golden_bundles.py tests/pipeline/golden/unreleased`.

To be run when what is written changes on purpose, see docs/releases.md. A folder with the name of a release is never
made again: it stands for all the bundles out there. Beside each bundle lies what it shows, as the program of that day
opened it: its frames in one PNG, one above the other.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import neuralcipher
from neuralcipher import Key, Passphrase, SealOptions
from neuralcipher.keys import Argon2Parameters

KEY = Key(bytes(range(32)))
PHRASE = Passphrase("golden: not a secret")
COST = Argon2Parameters(t=1, m_kib=64, p=1)
SMALL = {"scale": "48x-1", "max_frames": 5, "seed": 1, "device": "cpu"}

# Every flow, generator, cipher, suite and kind of slot is there once, and a bundle of several segments.
CASES: dict[str, SealOptions] = {
    "latent-feistel": SealOptions(flow="latent", flow_options={"steps": 4}, **SMALL),
    "latent-segments": SealOptions(flow="latent", flow_options={"steps": 2}, segment_frames=2, **SMALL),
    "latent-chacha20-aes-passphrase": SealOptions(
        flow="latent", flow_options={"steps": 0}, generator="chacha20", aead="aes-256-gcm", **SMALL
    ),
    "latent-bare": SealOptions(flow="latent", flow_options={"steps": 2}, suite="bare", **SMALL),
    "autoencoder-autoencoder": SealOptions(
        flow="autoencoder", flow_options={"nconv": 8, "steps": 20}, generator="autoencoder", **SMALL
    ),
    "recurrent-feistel": SealOptions(flow="recurrent", flow_options={"nconv": 8, "steps": 20}, **SMALL),
    "mlp-feistel": SealOptions(flow="mlp", flow_options={"hidden": 4, "steps": 20}, **SMALL),
    "lstm-feistel": SealOptions(flow="lstm", flow_options={"hidden": 2, "steps": 20}, **SMALL),
}


def frames_of(bundle: Path, keys: list[Key | Passphrase]) -> np.ndarray:
    """(N * H, W, 3) uint8: the frames as they are opened, one above the other."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder, "frames")
        neuralcipher.open_bundle(bundle, f"{pictures}/", keys=keys, device="cpu")
        return np.concatenate([np.asarray(Image.open(path).convert("RGB")) for path in sorted(pictures.glob("*.png"))])


def credential(name: str) -> Key | Passphrase:
    return PHRASE if name.endswith("-passphrase") else KEY


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    for name, options in CASES.items():
        bundle = folder / f"{name}.ncv"
        neuralcipher.seal(
            neuralcipher.demo_clip(), bundle, keys=[credential(name)], options=options, argon2=COST, resume=False
        )
        Image.fromarray(frames_of(bundle, [credential(name)])).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
