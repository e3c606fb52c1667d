# %% [markdown]
# # A video as a function of time
#
# The `mlp` flow (Storing a Video in a Neural Network): a multilayer perceptron from the time t to the pixels of frame
# t. Run it in an empty folder: it writes `video.mp4`, two bundles and `opened.mp4` there.

# %%
import shutil

import neuralcipher

shutil.copy(neuralcipher.demo_clip(), "video.mp4")
key = neuralcipher.generate_key()

# %% [markdown]
# With `encoding=0` the network sees t alone, as in the paper; with 4 also sin and cos of pi t, 2 pi t, 4 pi t, 8 pi t.
# Both get the same number of steps and about the same number of weights.

# %%
reports = {}
for encoding in (0, 4):
    options = neuralcipher.SealOptions(
        flow="mlp",
        flow_options={"encoding": encoding, "hidden": 8, "steps": 250},
        generator="chacha20",
        seed=1,
        max_frames=12,
        scale="64x-1",
    )
    reports[encoding] = neuralcipher.seal("video.mp4", f"time-{encoding}.ncv", keys=[key], options=options)
    report = reports[encoding]
    print(
        f"{encoding} frequencies: {report.size_bytes} bytes (raw {report.raw_bytes}), "
        f"{report.psnr_db:.2f} dB, {report.similarity} {report.ms_ssim:.4f}"
    )

# %% [markdown]
# The pixels come from one linear layer, so the bundle grows with the size of a frame times the units before it, and not
# with the number of frames.

# %%
opened = neuralcipher.open_bundle("time-4.ncv", "opened.mp4", keys=[key])
if opened.frames != reports[4].frames:
    raise SystemExit("frames were lost")
