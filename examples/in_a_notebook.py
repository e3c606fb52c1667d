# %% [markdown]
# # Look at results in a notebook
#
# Needs matplotlib: `pip install "neuralcipher[plots]"`. Small on purpose: six frames, 96 pixels wide, a second of
# fitting for each flow. Run it in an empty folder: it writes `video.mp4`, `video.ncv` and three pictures there.

# %%
import shutil
from pathlib import Path

import neuralcipher
from neuralcipher import attacks, plots
from neuralcipher.pipeline.comparing import compare
from neuralcipher.pipeline.examining import examine

shutil.copy(neuralcipher.demo_clip(), "video.mp4")
key = neuralcipher.generate_key()
options = neuralcipher.SealOptions(budget_s=1, max_frames=6, scale="96x-1")
neuralcipher.seal("video.mp4", "video.ncv", keys=[key], options=options)

# %% [markdown]
# A bundle as the last line of a cell shows what anyone can see. Once it is unlocked, its sections too.

# %%
bundle = neuralcipher.Bundle.open(Path("video.ncv"))
bundle.unlock([key])
bundle

# %% [markdown]
# Every frame beside the original.

# %%
found = examine("video.ncv", keys=[key], original="video.mp4")
plots.quality_by_frame(found).figure.savefig("quality.png")
print(f"{found.fit.quality.psnr_db:.2f} dB, {found.bits_per_pixel:.2f} bits per pixel")

# %% [markdown]
# Several flows for the same seconds. `to_dicts` is what `pandas.DataFrame` takes.

# %%
compared = compare(Path("video.mp4"), ["latent", "recurrent"], budget_s=1, scale="96x-1", max_frames=6)
plots.rate_distortion(compared).figure.savefig("rate.png")
for row in compared.to_dicts():
    print(row["codec"], row["size_bytes"], round(row["psnr_db"], 2))
compared

# %% [markdown]
# What an attack measured, and what chance alone would give: the draws of its null distribution, and where the observed
# value lies. An attack that fails shows what this budget did not reach, never that a target is secure.

# %%
report = attacks.run("feistel", shape=(3, 16, 16), options={"rounds": 4}, only=["key-confirmation"])
plots.null_distribution(report.rows[0]).figure.savefig("null.png")
report

# %%
bundle.close()
if not all(Path(name).stat().st_size for name in ("quality.png", "rate.png", "null.png")):
    raise SystemExit("a picture is missing")
