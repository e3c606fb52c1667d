"""Claims of the papers' text, one experiment each, on clips small enough to be learned."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import torch
from clips import Frames, Picture
from papers_bench import (
    CPU,
    Bench,
    Fitted,
    Row,
    base_frames,
    classical_bytes,
    psnr_by_frame,
    similarity_by_frame,
    to_tensor,
)

from neuralcipher.attacks.base import find as find_attack
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.targets import GeneratorTarget
from neuralcipher.flows.algorithm1 import algorithm1_shapes
from neuralcipher.flows.recurrent.recall import KeyFrames
from neuralcipher.flows.recurrent.section import RecurrentSection

SMALL = (64, 48)
SMALL_KTH = (64, 64)
TINY, TINY_STEPS = (32, 24), 1000
BFLOAT16 = torch.autocast("cpu", torch.bfloat16)


def epochs(bench: Bench) -> list[Row]:
    """Quality against epochs: one clip, the budget doubled three times."""
    rows = []
    for flow, name, size in (("recurrent", "handclapping", SMALL_KTH), ("autoencoder", "breakdance", SMALL)):
        frames = bench.clip(name, size)
        for share in (0.125, 0.25, 0.5, 1.0):
            steps = None if bench.steps is None else math.ceil(share * bench.steps)
            made = bench.fit(flow, frames, share, steps=steps, nconv=32)
            what = f"{flow}, {name}, {len(frames)} frames of {size[0]}x{size[1]}, 32 filters"
            rows.append(_row("epochs", what, "quality grows with epochs", made))
    return rows


def curriculum_and_key_frames(bench: Bench) -> list[Row]:
    """The same steps with and without a curriculum; then true frames put into the recall of the better one."""
    rows = []
    for name, size in (("breakdance", SMALL), ("handclapping", SMALL_KTH)):
        frames = bench.clip(name, size, 3 * bench.frames)
        with_it = bench.fit("recurrent", frames, 1.2, nconv=32)
        without = bench.fit("recurrent", frames, steps=with_it.steps, nconv=32, curriculum_from=0)
        where = f"{name}, {len(frames)} frames of {size[0]}x{size[1]}"
        rows.append(_row("curriculum", f"with, {where}", "needed", with_it))
        rows.append(_row("curriculum", f"without, {where}", "not tractable", without))
        rows.append(_key_frames(where, with_it))
    return rows


def drift(bench: Bench) -> list[Row]:
    """Trained on true frames alone (subsequences of length 1): recall drifts, and key-frames have something to stop."""
    frames = bench.clip("breakdance", SMALL, 3 * bench.frames)
    made = bench.fit("recurrent", frames, 1.2, nconv=32, curriculum_to=1)
    where = f"breakdance, {len(frames)} frames of 64x48, trained one step ahead"
    return [_row("curriculum", where, "recall fails", made), _key_frames(where, made)]


def _key_frames(where: str, made: Fitted) -> Row:
    started = time.process_time()
    parsed = RecurrentSection.parse(made.section)
    video = to_tensor(made.frames)[:, : parsed.header.video.channels]
    height, width = made.frames[0].shape[:2]
    key_frames = KeyFrames(parsed.networks()[0], video, (height, width), 1, CPU)
    plain = psnr_by_frame(made.frames, made.shown)
    half = len(plain) // 2
    budget = 3 * len(key_frames.bytes_at(0)[0])
    chosen = key_frames.within(budget)
    shown = _pictures(key_frames.shown(chosen)[0])
    put_right = psnr_by_frame(made.frames, shown)
    kept = [i for i in range(len(plain)) if i not in chosen]
    before, after = float(np.mean([plain[i] for i in kept])), float(np.mean([put_right[i] for i in kept]))
    size = sum(len(key_frames.bytes_at(i)[0]) for i in chosen[1:])
    ours = (
        f"{before:.2f} dB before, {after:.2f} dB after on the {len(kept)} frames that stay recalled; "
        f"key-frames {', '.join(map(str, chosen[1:])) or 'none'} take {size:,} bytes"
    )
    details = {
        "without": plain,
        "with": put_right,
        "chosen": chosen,
        "drift_db": round(float(np.mean(plain[1:half]) - np.mean(plain[half:])), 2),
    }
    return Row("key-frames", where, "renew the recall", ours, time.process_time() - started, details=details)


def dilation(bench: Bench) -> list[Row]:
    """{A, B, A, C, A, D} of random pictures."""
    draw = torch.Generator().manual_seed(11)
    a, b, c, d = (torch.randint(0, 256, (8, 8, 3), generator=draw, dtype=torch.uint8).numpy() for _ in range(4))
    frames = [a, b, a, c, a, d]
    rows = []
    for steps in (350, 1500):
        for depth in (1, 2):
            made = bench.fit("recurrent", frames, steps=steps, nconv=32, dilation=depth, optimiser=0)
            worst = min(psnr_by_frame(frames, made.shown)[depth:])
            what = f"A, B, A, C, A, D of 3x8x8, d = {depth}, {steps} steps of Adam"
            ours = f"worst recalled frame {worst:.1f} dB"
            rows.append(
                Row("dilation", what, "d = 2 resolves it", ours, made.seconds, steps, made.epochs, made.summary())
            )
    return rows


def two_networks_of_32(bench: Bench) -> list[Row]:
    """A network of 32 filters and one of 32 that repairs, against one of 64, and one as large as the two."""
    frames = bench.clip("parkour", SMALL)
    rows = []
    for text, options in (
        ("32 + 32 filters", {"nconv": 32, "stages": 1}),
        ("64 filters", {"nconv": 64}),
        ("46 filters", {"nconv": 46}),
    ):
        made = bench.fit("recurrent", frames, 1.2, **options)
        what = f"{text}, parkour, {len(frames)} frames of 64x48, {made.parameters:,} parameters"
        rows.append(_row("two layers", what, "32 and 32 have half the parameters of 64", made))
    return rows


def precision(bench: Bench) -> list[Row]:
    """The same training, stored in 32, 16, 8 and 4 bits."""
    frames = bench.clip("breakdance", SMALL)
    rows = []
    steps = None
    for bits in (32, 16, 8, 4):
        made = bench.fit("recurrent", frames, 0.5, steps=steps, nconv=32, weight_bits=bits)
        steps = made.steps
        what = f"{bits} bits a weight, breakdance, {len(frames)} frames of 64x48, 32 filters"
        rows.append(_row("precision", what, "FP16: half of the size", made))
    return rows


def half_training(bench: Bench) -> list[Row]:
    """The same steps in FP32, in bfloat16 and in FP16, stored in 16 bits; small, since FP16 is slow on a CPU."""
    frames = bench.clip("breakdance", TINY)
    rows = []
    for text, half, found in (("FP32", 0, nullcontext()), ("bfloat16", 0, BFLOAT16), ("FP16, loss scale", 1, None)):
        with patch("neuralcipher.flows.training.training_precision", return_value=found):
            made = bench.fit("recurrent", frames, steps=bench.steps or TINY_STEPS, nconv=16, weight_bits=16, half=half)
        what = f"trained in {text}, breakdance, {len(frames)} frames of {TINY[0]}x{TINY[1]}, 16 filters"
        rows.append(_row("precision", what, "FP16: equal quality", made))
    return rows


def ratios(bench: Bench) -> list[Row]:
    """Compression as the paper counts it, raw pixels over weights: no training, arithmetic on its own networks."""
    rows = []
    for figure, what, pixels, network, bits, paper in (
        ("1 (A)", "at least 99 frames of 128x128, 128 filters, FP32", 99 * 128 * 128, (128, 1), 32, "none given"),
        ("1 (B)", "at least 166 frames of 128x128, 32 filters, d = 2, FP16", 166 * 128 * 128, (32, 2), 16, "27x"),
        (
            "1 (C)",
            "at least 197 frames of 128x128, 32 filters, d = 2, FP16",
            197 * 128 * 128,
            (32, 2),
            16,
            "none given",
        ),
        ("2 (A)", "at least 87 frames of 3x128x128, 128 filters, FP32", 87 * 3 * 128 * 128, (128, 3), 32, "10 to 15x"),
        ("2 (D)", "84 frames of 3x120x213, 48 filters, FP32", 84 * 3 * 120 * 213, (48, 3), 32, "10 to 15x"),
        ("3", "100 frames of 3x120x213, 32 and 32 filters, FP32", 100 * 3 * 120 * 213, (32, 3), 32, "10 to 15x"),
    ):
        weights = sum(math.prod(shape) for shape in algorithm1_shapes(*network)) * (2 if figure == "3" else 1)
        size = weights * bits // 8
        details = {"weights": weights, "bytes": size, "raw_bytes": pixels}
        rows.append(Row("ratio, Fig. " + figure, what, paper, f"{pixels / size:.1f}x", 0.0, details=details))
    return rows


def beyond_the_end(bench: Bench) -> list[Row]:
    """Recall that goes on after the last frame it was trained on, beside the true continuation."""
    return _beyond(bench, (("handclapping", SMALL_KTH, 2.0), ("boxing", SMALL_KTH, 2.0)), "beyond")


def beyond_in_small(bench: Bench) -> list[Row]:
    """The same at a size where the budget suffices to learn the motion."""
    return _beyond(bench, (("handclapping", (32, 32), 3.0),), "beyond-small")


def _beyond(bench: Bench, cases: Sequence[tuple[str, tuple[int, int], float]], sheet: str) -> list[Row]:
    count = 4 * bench.frames
    rows = []
    pictures: list[tuple[str, list[Picture]]] = []
    for name, size, share in cases:
        all_frames = bench.clip(name, size, 3 * count)
        frames = all_frames[:count]
        made = bench.fit("recurrent", frames, share, nconv=32, dilation=2)
        goes_on = base_frames(made.section, 2 * count)[count:]
        truth = all_frames[count : 2 * count]
        frozen = [frames[-1]] * count
        mean = [np.rint(np.mean(frames, axis=0)).astype(np.uint8)] * count
        db = {
            "recall": psnr_by_frame(truth, goes_on),
            "last frame": psnr_by_frame(truth, frozen),
            "mean frame": psnr_by_frame(truth, mean),
            "nearest true frame": [max(psnr_by_frame(all_frames, [shown] * len(all_frames))) for shown in goes_on],
            "nearest to the mean frame": [max(psnr_by_frame(all_frames, [mean[0]] * len(all_frames)))],
        }
        motion = _motion(goes_on) / _motion(truth)
        inside = _motion(made.shown[2:]) / _motion(frames[2:])
        psnr = made.summary()["psnr_db"]
        ours = (
            f"{np.mean(db['recall']):.1f} dB against what follows (last frame {np.mean(db['last frame']):.1f}, mean "
            f"{np.mean(db['mean frame']):.1f}); {np.mean(db['nearest true frame']):.1f} dB from the nearest true frame "
            f"(mean {db['nearest to the mean frame'][0]:.1f}); {motion:.2f} of the true motion, {inside:.2f} inside"
        )
        what = f"{name}, {count} frames of {size[0]}x{size[1]} grey, d = 2, then {count} more; {psnr:.1f} dB inside"
        details = {**made.summary(), "db": db, "motion": motion, "motion_late": _motion(goes_on[count // 2 :])}
        rows.append(
            Row("beyond", what, "goes on for short periods", ours, made.seconds, made.steps, made.epochs, details)
        )
        numbers = [0, count // 4, count // 2, 3 * count // 4, count - 1]
        pictures += [
            (f"{name}, {', '.join(str(1 + i) for i in numbers)} after the end", [goes_on[i] for i in numbers]),
            ("truth", [truth[i] for i in numbers]),
        ]
    bench.sheet(sheet, pictures)
    return rows


def own_key(bench: Bench) -> list[Row]:
    """The attack key-confirmation on a g that Algorithm 2 trained on z0 itself."""
    rows = []
    for remedies, length, steps in ((True, 4, 60), (True, 8, 100), (False, 4, 100)):
        started = time.process_time()
        options = {"train_on_key": 1, "length": length, "steps": steps, "remedies": int(remedies)}
        target = GeneratorTarget("autoencoder", (3, 16, 16), options)
        attack, run = find_attack("key-confirmation"), Run(Settings(), "key-confirmation")
        found = attack().measure(target.subject(attack.info.needs, Settings()), run)
        name = "with the remedies" if remedies else "as printed"
        what = f"g {name} trained on z0, 3x16x16, N = {length}, {steps} steps, {found.samples} keys"
        ours = f"p = {found.p_value:.2g}; {found.note}"
        details = dict(found.details)
        rows.append(Row("own key", what, "not considered", ours, time.process_time() - started, steps, steps, details))
    return rows


def _row(figure: str, what: str, paper: str, made: Fitted) -> Row:
    found = made.summary()
    coded = classical_bytes(made.frames, found["psnr_db"])
    sizes = ", ".join(f"{name.split()[0]} {each['bytes']:,}" for name, each in coded.items())
    ours = (
        f"{found['psnr_db']:.2f} dB, worst {found['worst_db']:.1f}, SSIM {found['ssim']:.3f}, {found['bytes']:,} bytes "
        f"({sizes})"
    )
    details = {
        **found,
        "psnr_by_frame": psnr_by_frame(made.frames, made.shown),
        "similarity_by_frame": similarity_by_frame(made.frames, made.shown),
        "classical": coded,
    }
    return Row(figure, what, paper, ours, made.seconds, made.steps, made.epochs, details)


def _pictures(shown: torch.Tensor) -> Frames:
    """(N, C, H, W) uint8 to RGB frames."""
    return [frame.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy() for frame in shown]


def _motion(frames: Frames) -> float:
    """Mean absolute difference of frames that follow each other."""
    return float(np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in pairwise(frames)]))
