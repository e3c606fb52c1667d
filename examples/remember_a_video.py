# %% [markdown]
# # A video that a network plays by itself
#
# The `recurrent` flow (Neural Video Encoding, eq. 2): a network is given the first frame, and from then on its own
# last output. Nothing else is stored. Run it in an empty folder: it writes `video.mp4`, `small.ncv` and `opened.mp4`.

# %%
import shutil

import torch

import neuralcipher
from neuralcipher.flows.base import FitContext
from neuralcipher.flows.recurrent import RecurrentConfig, RecurrentFlow
from neuralcipher.generators.base import Keystream
from neuralcipher.generators.chacha20 import ChaCha20Generator

shutil.copy(neuralcipher.demo_clip(), "video.mp4")

# %% [markdown]
# An ambiguous sequence, as in the paper: after A comes B, then C, then D. One frame does not say which; two do.
# `dilation` is the number of frames that the network sees and makes at once.

# %%
a, b, c, d = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
frames = torch.stack([a, b, a, c, a, d])


def keystream(shape):
    """The flow asks for one, as every flow must, and does not look at it."""
    return Keystream(ChaCha20Generator(shape, bytes(32)), torch.zeros(shape, dtype=torch.uint8))


def worst_db(dilation):
    """PSNR of the worst of the six frames after 250 steps."""
    flow = RecurrentFlow(RecurrentConfig(dilation=dilation, steps=250, batch=4, window=4, weight_bits=32))
    context = FitContext(0.0, 0, torch.device("cpu"), lambda report: None)
    section = flow.fit(frames, keystream, context)
    shown = torch.stack(list(flow.render(section, keystream(flow.latent_shape(section)), torch.device("cpu"))))
    error = (shown.float() - frames.float()).square().mean(dim=(1, 2, 3)).max()
    return float(10 * torch.log10(255**2 / error.clamp_min(1e-3)))


found = {dilation: worst_db(dilation) for dilation in (1, 2)}
print(f"worst frame: {found[1]:.1f} dB with d = 1, {found[2]:.1f} dB with d = 2")
if found[2] < found[1]:
    raise SystemExit("two frames told less than one")

# %% [markdown]
# A real clip, sealed: recall drifts, and key-frames put it right where it falls below 20 dB. The flow uses no key; the
# suite `sealed` encrypts what it stores.

# %%
key = neuralcipher.generate_key()
options = neuralcipher.SealOptions(
    flow="recurrent",
    flow_options={"nconv": 16, "keyframe_threshold": 20},
    generator="chacha20",
    budget_s=4,
    max_frames=8,
    scale="64x-1",
)
sealed = neuralcipher.seal("video.mp4", "small.ncv", keys=[key], options=options)
opened = neuralcipher.open_bundle("small.ncv", "opened.mp4", keys=[key])
print(
    f"{sealed.size_bytes} bytes for {sealed.raw_bytes} of raw pixels, {sealed.psnr_db:.2f} dB, {opened.frames} frames"
)

# %% [markdown]
# Without the encryption nothing would be hidden, so a bare bundle is refused.

# %%
try:
    neuralcipher.seal(
        "video.mp4", "never.ncv", keys=[key], options=neuralcipher.SealOptions(flow="recurrent", suite="bare")
    )
except neuralcipher.NeuralCipherError as error:
    print(f"refused: {error.message}")
else:
    raise SystemExit("a bundle was made that hides nothing")
