# %% [markdown]
# # Write a generator of your own
#
# A generator g is a public, deterministic process over uint8 latents, z_{i+1} = g(z_i). This one hashes the state with
# SHAKE-256: not neural, but complete, and short enough to read at once. A package would announce it with an entry
# point in the group `neuralcipher.generators`; here `register` makes it known to this process.

# %%
import hashlib

import numpy as np
import torch

import neuralcipher
from neuralcipher.errors import PayloadDamagedError
from neuralcipher.generators import checks
from neuralcipher.generators.base import check_shape, flatten_latents, register


# %%
@register("shake")
class ShakeGenerator:
    """g(z) = SHAKE-256(seed || z), as many bytes as z has. Exact on every machine, since only bytes take part."""

    name = "shake"

    def __init__(self, shape, seed):
        # At least 32 bytes, so that the state cannot be guessed; at most 64 MiB, checked before anything is allocated.
        self.shape = check_shape(shape, smallest=32)
        self._seed = seed

    @classmethod
    def create(cls, shape, *, seed, z0, progress):
        """Nothing to train, so z0 is not looked at. `seed` is public and the only source of randomness."""
        progress(1.0)
        return cls(shape, seed)

    @classmethod
    def from_bytes(cls, data, shape):
        """Bundles come from strangers: refuse what `to_bytes` cannot have written."""
        if len(data) != 32:
            raise PayloadDamagedError("the shake generator section is damaged")
        return cls(shape, data)

    def to_bytes(self):
        """The public parameters, without key material: they are stored in the bundle."""
        return self._seed

    def next_latent(self, z):
        """z: (..., C, H, W) uint8, any batch in front; the same shape, dtype and device come back."""
        rows = flatten_latents(z, self.shape).cpu().numpy()
        size = rows.shape[1]
        hashed = [hashlib.shake_256(self._seed + row.tobytes()).digest(size) for row in rows]
        out = np.frombuffer(b"".join(hashed), dtype=np.uint8).copy()
        return torch.from_numpy(out).reshape(z.shape).to(z.device)

    def to(self, device):
        """No parameters on a device; the result of `next_latent` follows z."""
        return self


# %% [markdown]
# What every generator must pass before it masks anything. Passing is necessary, not sufficient: many broken ciphers do.

# %%
shape = (8, 32, 32)
seed = bytes(range(32))
z0 = torch.from_numpy(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))
generator = ShakeGenerator.create(shape, seed=seed, z0=z0, progress=lambda fraction: None)

cycles = checks.noncyclic(generator, z0, steps=300)
print(f"smallest distance {cycles.min_distance:.4f}, needed {cycles.threshold:.4f}, ideal {cycles.ideal:.4f}")
flips = checks.avalanche(generator, z0)
print(f"one flipped bit changes {flips.byte_fraction:.2%} of the bytes")
if not (cycles.ok and flips.ok):
    raise SystemExit("the generator failed its checks")

# %% [markdown]
# The check can fail: a process that moves every latent by one step of a counter keeps its latents close.


# %%
class Counter(ShakeGenerator):
    """g(z) = z + 1 mod 256: what a generator must not be."""

    name = "counter"

    def next_latent(self, z):
        return z + 1


broken = checks.noncyclic(Counter(shape, seed), z0, steps=300)
print(f"the counter: smallest distance {broken.min_distance:.4f}, repeats a state: {broken.repeated}")
if broken.ok:
    raise SystemExit("the check let a counter pass")

# %% [markdown]
# From here on it is a generator like the others. Whoever opens the bundle needs it registered too.

# %%
key = neuralcipher.generate_key()
options = neuralcipher.SealOptions(generator="shake", budget_s=1, max_frames=8, scale="96x-1")
sealed = neuralcipher.seal(neuralcipher.demo_clip(), "video.ncv", keys=[key], options=options)
neuralcipher.open_bundle("video.ncv", "opened.mp4", keys=[key])
print(f"sealed with {sealed.generator}: {sealed.frames} frames in {sealed.size_bytes} bytes")
