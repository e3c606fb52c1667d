# %% [markdown]
# # Seal a video and open it again
#
# The Python side of `ncipher seal` and `ncipher open`. Small on purpose: 16 frames, 160 pixels wide, two seconds of
# fitting. Run it in an empty folder: it writes `video.mp4`, `k.bin`, `video.ncv` and `opened.mp4` there.

# %%
import shutil
from pathlib import Path

import neuralcipher

shutil.copy(neuralcipher.demo_clip(), "video.mp4")

# %% [markdown]
# A key is 32 bytes from the operating system. `write` stores it in a file that only you can read; its `repr` never
# shows the bytes.

# %%
key = neuralcipher.generate_key()
key.write(Path("k.bin"))
print(key)

# %% [markdown]
# `seal` fits the flow to the frames. `progress` is called often, from this thread; whatever it raises ends the work and
# leaves no file behind.


# %%
def show(report):
    if report.stage == "fitting" and report.step % 50 == 0:
        print(f"step {report.step}: {report.psnr_db:.1f} dB, about {report.size_bytes} bytes")


sealed = neuralcipher.seal(
    "video.mp4",
    "video.ncv",
    keys=[key],
    options=neuralcipher.SealOptions(budget_s=2, max_frames=16, scale="160x-1"),
    progress=show,
)
print(f"{sealed.size_bytes} bytes for {sealed.raw_bytes} of raw pixels, {sealed.psnr_db:.2f} dB")

# %% [markdown]
# Opening needs the bundle and one of its keys. The output appears complete or not at all.

# %%
opened = neuralcipher.open_bundle("video.ncv", "opened.mp4", keys=[key])
print(f"{opened.output}: {opened.frames} frames")
if opened.frames != sealed.frames:
    raise SystemExit("frames were lost")

# %% [markdown]
# Another key is refused. Every error that the package raises on purpose carries a sentence, a hint and an exit code.

# %%
try:
    neuralcipher.open_bundle("video.ncv", "never.mp4", keys=[neuralcipher.generate_key()])
except neuralcipher.NeuralCipherError as error:
    print(f"refused: {error.message} (exit code {error.exit_code})")
else:
    raise SystemExit("a wrong key opened the bundle")
