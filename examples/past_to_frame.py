# %% [markdown]
# # A video from its own past
#
# The `lstm` flow (Storing a Video in a Neural Network): a long short-term memory that sees the last frames, as it
# recalled them, and shows the next. The paper found it larger than the video; so it is here. Run it in an empty folder.

# %%
import shutil

import neuralcipher

shutil.copy(neuralcipher.demo_clip(), "video.mp4")
key = neuralcipher.generate_key()

# %% [markdown]
# Two frames are stored, the rest is recalled. The weights read every pixel of every past frame four times over, once a
# gate, and that is what makes them many.

# %%
options = neuralcipher.SealOptions(
    flow="lstm",
    flow_options={"hidden": 8, "past": 2, "steps": 150},
    generator="chacha20",
    seed=1,
    max_frames=12,
    scale="64x-1",
)
report = neuralcipher.seal("video.mp4", "past.ncv", keys=[key], options=options)
print(f"{report.size_bytes} bytes, {report.raw_bytes} raw, {report.source_bytes} in the file it came from")
print(f"{report.psnr_db:.2f} dB, {report.similarity} {report.ms_ssim:.4f}")
opened = neuralcipher.open_bundle("past.ncv", "opened.mp4", keys=[key])
if opened.frames != report.frames:
    raise SystemExit("frames were lost")
