"""The figures of Neural Video Encoding, and the two models of Storing a Video in a Neural Network."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from clips import Frames, Picture
from papers_bench import (
    CARRIED,
    CPU,
    KEY,
    Bench,
    Fitted,
    Row,
    base_frames,
    classical_bytes,
    psnr_by_frame,
    similarity_by_frame,
    three,
    to_tensor,
)

from neuralcipher.attacks.base import find as find_attack
from neuralcipher.attacks.figures import Matrix
from neuralcipher.attacks.scenery import other_videos
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import GeneratorSubject, PairSubject, Recipe, z0_of
from neuralcipher.flows import autoencoder
from neuralcipher.flows.autoencoder import AutoencoderFlow
from neuralcipher.generators.autoencoder import AutoencoderConfig, AutoencoderGenerator
from neuralcipher.generators.base import Generator, Keystream, Shape
from neuralcipher.generators.checks import noncyclic
from neuralcipher.video.quality import compare

WHOLE = (213, 120)
SQUARE = (128, 128)
HALF = (107, 60)
SEED = hashlib.sha256(b"papers").digest()


def figure_1(bench: Bench) -> list[Row]:
    """KTH at 128x128, one channel: (A) 128 filters, d = 1; (C) 32 filters, d = 2."""
    rows = []
    pictures: list[tuple[str, Sequence[Picture]]] = []
    for part, name, filters, dilation, paper in (
        ("A", "handclapping", 128, 1, "128 filters, 99,800 epochs: .995 .995 .995"),
        ("B, C", "boxing", 32, 2, "32 filters, d = 2, FP16, 363,947 and 473,701 epochs: .76 to .82; 27x"),
    ):
        frames = bench.clip(name, SQUARE)
        made = bench.fit("recurrent", frames, nconv=bench.filters(filters), dilation=dilation)
        what = f"{name}, {len(frames)} frames of 128x128 grey, {bench.filters(filters)} filters, d = {dilation}"
        rows.append(_row(f"1 ({part})", what, paper, made))
        pictures += _pair_rows(name, frames, made.shown)
    bench.sheet("figure-1", pictures)
    return rows


def figure_2(bench: Bench) -> list[Row]:
    """DAVIS at 3x128x128, and (D) breakdance at 120p with 48 filters."""
    rows = []
    pictures: list[tuple[str, Sequence[Picture]]] = []
    for part, name, size, filters, paper in (
        ("A to C", "parkour", SQUARE, 128, "other scenes, 128 filters, 77,000 to 250,000 epochs: rhino .99 .99 .98"),
        ("D", "breakdance", WHOLE, 48, "48 filters, 85,000 epochs; no figure given"),
    ):
        frames = bench.clip(name, size)
        made = bench.fit("recurrent", frames, nconv=bench.filters(filters))
        what = f"{name}, {len(frames)} frames of {size[0]}x{size[1]}, {bench.filters(filters)} filters"
        rows.append(_row(f"2 ({part})", what, paper, made))
        if size == WHOLE:
            pictures += _pair_rows(name, frames, made.shown)
    bench.sheet("figure-2", pictures)
    return rows


def figure_3(bench: Bench) -> list[Row]:
    """Parkour at 120p with one network that repairs (eq. 3)."""
    return _upscaler(bench, "parkour", WHOLE, 2.0, "figure-3")


def figure_3_half(bench: Bench) -> list[Row]:
    """The same at half the size, where the budget goes further."""
    return _upscaler(bench, "parkour", HALF, 3.0, "figure-3-half")


def _upscaler(bench: Bench, name: str, size: tuple[int, int], share: float, sheet: str) -> list[Row]:
    frames = bench.clip(name, size)
    made = bench.fit("recurrent", frames, share, timed=True, nconv=32, stages=1)
    base = base_frames(made.section, len(frames))
    before, after = similarity_by_frame(frames, base), similarity_by_frame(frames, made.shown)
    numbers = three(len(frames))
    bench.sheet(
        sheet,
        [
            (f"(A) base: {_values(before, numbers)}", [base[i] for i in numbers]),
            (f"(B) repaired: {_values(after, numbers)}", [made.shown[i] for i in numbers]),
            ("(C) truth", [frames[i] for i in numbers]),
        ],
    )
    base_db = psnr_by_frame(frames, base)
    found = _row(
        "3",
        f"{name}, {len(frames)} frames of {size[0]}x{size[1]}, 32 filters and 32 to repair",
        "frames 35, 52, 86: .92 .87 .84 before, .96 .94 .93 after",
        made,
        before=before,
        after=after,
        base_db=base_db,
    )
    text = f"{_values(before, numbers)} before, {_values(after, numbers)} after; {np.mean(base_db[1:]):.1f} dB before; "
    return [_with(found, ours=text + found.ours)]


def figure_4(bench: Bench) -> list[Row]:
    """Algorithm 2: distances of the states of g while it trains; the plain recipe, and with the remedies."""
    shape, length = (3, 32, 32), 32
    rows = []
    pictures: list[tuple[str, Sequence[Picture]]] = []
    for remedies, stages in ((False, (0, 60, 240)), (True, (0, 60, 120))):
        drawn = []
        for steps in stages:
            started = time.process_time()
            config = AutoencoderConfig(length=length, steps=steps, remedies=remedies)
            g = AutoencoderGenerator.train(shape, seed=SEED, z0=z0_of(KEY, shape), progress=_quiet, config=config)
            spent = time.process_time() - started
            found = find_attack("cycles")().measure(
                GeneratorSubject("algorithm 2", g), Run(Settings(), "cycles", seconds=10)
            )
            matrix = next(figure for figure in found.figures if isinstance(figure, Matrix))
            drawn.append(_grey_matrix(matrix))
            check = noncyclic(g, z0_of(KEY, shape), 200)
            name = "with the remedies" if remedies else "as printed"
            verdict = "noncyclic" if check.ok else "repeats" if check.repeated else "nearly repeats"
            rows.append(
                Row(
                    "4",
                    f"g {name}, 8 filters, 3x32x32, N = {length}, {steps} steps of Algorithm 2",
                    "8 filters, noncyclic after 17,000 epochs",
                    f"{verdict}: nearest states {check.min_distance / check.ideal:.3f} of the ideal distance apart",
                    spent,
                    steps,
                    steps,
                    {"note": found.note, "p_value": found.p_value, "repeated": check.repeated, "ok": check.ok},
                )
            )
        label = "remedies" if remedies else "as printed"
        pictures.append((f"{label}: after {', '.join(map(str, stages))} steps", drawn))
    bench.sheet("figure-4", pictures)
    return rows


def figures_5_and_6(bench: Bench) -> list[Row]:
    """Breakdance at 120p from noise through two stages (eq. 5), then the same F with an imposter's key."""
    return [*_flow(bench, "breakdance", WHOLE, 3.0, ""), _imposter_attack(bench)]


def carried_clip(bench: Bench) -> list[Row]:
    """Figs. 3, 5 and 6 on the clip that the project carries, whose pictures may be shown."""
    return [
        *_upscaler(bench, CARRIED, HALF, 1.6, "carried-3"),
        *_flow(bench, CARRIED, HALF, 1.6, "carried-"),
    ]


def _flow(bench: Bench, name: str, size: tuple[int, int], share: float, prefix: str) -> list[Row]:
    frames = bench.clip(name, size)
    width, height = size
    shape: Shape = (3, -(-height // 4) * 4, -(-width // 4) * 4)
    config = AutoencoderConfig(length=16, steps=10)
    started = time.process_time()
    g = AutoencoderGenerator.create(shape, seed=SEED, z0=z0_of(KEY, shape), progress=_quiet, config=config)
    spent = time.process_time() - started
    stream = Keystream(g, z0_of(KEY, shape))
    made = bench.fit("autoencoder", frames, share, keystream=lambda _: stream, nconv=32, stages=2)
    numbers = three(len(frames))
    z = torch.stack([stream.latent(i + 1) for i in range(len(frames))])
    stages = autoencoder._parse(made.section)[3]
    first = [_picture(x)[:height, :width] for x in autoencoder._apply(stages[0], z, CPU)]
    after_1, after_2 = similarity_by_frame(frames, first), similarity_by_frame(frames, made.shown)
    bench.sheet(
        f"{prefix or 'figure-'}5",
        [
            ("(A) z", [_picture(z[i])[:height, :width] for i in numbers]),
            (f"(B) f1(z): {_values(after_1, numbers)}", [first[i] for i in numbers]),
            (f"(C) f2(f1(z)): {_values(after_2, numbers)}", [made.shown[i] for i in numbers]),
            ("(D) truth", [frames[i] for i in numbers]),
        ],
    )
    what = f"{name}, {len(frames)} frames of {width}x{height}, g of 8 filters ({config.steps} steps), M = 2 of 32"
    row = _row("5", what, "g 10,000 epochs, f1 and f2 30,000 each; no figure given", made, first=after_1, g_s=spent)
    text = f"{_values(after_1, numbers)} after f1, {_values(after_2, numbers)} after f2; "
    row = _with(row, ours=text + row.ours)
    pair = PairSubject(name, g, AutoencoderFlow, made.section, to_tensor(frames), KEY, z0_of(KEY, shape))
    return [row, _imposter(bench, pair, numbers, f"{prefix or 'figure-'}6")]


def _imposter(bench: Bench, pair: PairSubject, numbers: list[int], sheet: str) -> Row:
    started = time.process_time()
    run = Run(Settings(), "imposter-key")
    starts = [pair.z0, *pair.starts([run.key_bytes("imposter", i) for i in range(3)])]
    seen = [pair.show(z0).numpy() for z0 in starts]
    truth = pair.frames.numpy()
    mean = np.broadcast_to(np.rint(truth.mean(axis=0)).astype(np.uint8), truth.shape)
    values: dict[str, list[float]] = {"PSNR": [], "similarity": []}
    for one in [*seen, mean]:
        quality = compare(truth.transpose(0, 2, 3, 1), one.transpose(0, 2, 3, 1))
        values["PSNR"].append(quality.psnr_db)
        values["similarity"].append(quality.ms_ssim)
    values_of_mean = {name: each.pop() for name, each in values.items()}
    bench.sheet(
        sheet,
        [
            ("the right key", [seen[0][i].transpose(1, 2, 0) for i in numbers]),
            ("an imposter key", [seen[1][i].transpose(1, 2, 0) for i in numbers]),
            ("the mean frame", [mean[i].transpose(1, 2, 0) for i in numbers]),
        ],
    )
    psnr, alike = values["PSNR"], values["similarity"]
    ours = (
        f"right key {psnr[0]:.1f} dB, {alike[0]:.2f}; imposters {np.mean(psnr[1:]):.1f} dB, {np.mean(alike[1:]):.2f}; "
        f"the mean frame {values_of_mean['PSNR']:.1f} dB, {values_of_mean['similarity']:.2f}"
    )
    details = {"values": values, "mean_frame": values_of_mean}
    what = f"{pair.name}, the F of Fig. 5 with 3 imposter keys"
    return Row("6", what, "incoherent states", ours, time.process_time() - started, details=details)


def _imposter_attack(bench: Bench) -> Row:
    """The whole attack, with strangers to compare with, on a pair small enough to be made three times."""
    started = time.process_time()
    frames = to_tensor(bench.clip("breakdance", (64, 48), 6))

    def make_generator(shape: Shape, z0: torch.Tensor) -> Generator:
        config = AutoencoderConfig(length=16, steps=10)
        return AutoencoderGenerator.train(shape, seed=SEED, z0=z0, progress=_quiet, config=config)

    recipe = Recipe(AutoencoderFlow, make_generator, autoencoder.AutoencoderConfig(nconv=16, steps=300))
    pair = recipe.seal("small", frames, KEY, other_videos(frames))
    found = find_attack("imposter-key")().measure(pair, Run(Settings(), "imposter-key"))
    return Row(
        "6",
        "attack imposter-key, breakdance, 6 frames of 64x48, 300 steps",
        "incoherent states",
        f"imposters {found.value:+.2f} dB against strangers, p = {found.p_value:.2g}",
        time.process_time() - started,
        details={"note": found.note, "p_value": found.p_value},
    )


def second_paper(bench: Bench) -> list[Row]:
    """t -> frame_t, and past frames -> frame_t."""
    rows = []
    frames = bench.clip("handclapping", SQUARE, 2 * bench.frames)
    for flow, text, hidden, share in (
        ("mlp", "about half of the video, SSIM about .99", bench.frames, 1.6),
        ("mlp", "about half of the video, SSIM about .99", max(1, bench.frames // 4), 0.6),
        ("lstm", "larger than the video", 4, 0.6),
    ):
        made = bench.fit(flow, frames, share, hidden=hidden)
        found = made.summary()
        of_raw = found["bytes"] / found["raw_bytes"]
        what = f"{flow}, handclapping, {len(frames)} frames of 128x128 grey, {hidden} units"
        row = _row("second paper", what, text, made)
        x264 = row.details["classical"]["x264 medium"]["bytes"]
        ours = f"{of_raw:.2f} of the raw pixels, {found['bytes'] / x264:.1f} times x264 at that PSNR; SSIM "
        rows.append(_with(row, ours=f"{ours}{found['ssim']:.3f}, {found['psnr_db']:.1f} dB"))
    return rows


def _row(figure: str, what: str, paper: str, made: Fitted, **more: Any) -> Row:
    found = made.summary()
    coded = classical_bytes(made.frames, found["psnr_db"])
    numbers = three(len(made.frames))
    alike = similarity_by_frame(made.frames, made.shown)
    sizes = ", ".join(f"{name.split()[0]} {each['bytes']:,}" for name, each in coded.items())
    ours = (
        f"frames {', '.join(map(str, numbers))}: {_values(alike, numbers)}; {found['psnr_db']:.1f} dB (the mean "
        f"frame {found['mean_frame_db']:.1f}), {found['bytes']:,} bytes ({sizes} for that PSNR)"
    )
    details = {**found, "similarity_by_frame": alike, "psnr_by_frame": psnr_by_frame(made.frames, made.shown)}
    return Row(
        figure, what, paper, ours, made.seconds, made.steps, made.epochs, {**details, "classical": coded, **more}
    )


def _with(row: Row, *, ours: str) -> Row:
    return Row(row.figure, row.what, row.paper, ours, row.seconds, row.steps, row.epochs, row.details)


def _values(values: Sequence[float], numbers: Sequence[int]) -> str:
    return " ".join(f"{values[i]:.2f}".lstrip("0") for i in numbers)


def _pair_rows(name: str, frames: Frames, shown: Frames) -> list[tuple[str, Sequence[Picture]]]:
    numbers = three(len(frames))
    alike = _values(similarity_by_frame(frames, shown), numbers)
    label = f"{name}, frames {', '.join(map(str, numbers))}: {alike}"
    return [(label, [shown[i] for i in numbers]), ("truth", [frames[i] for i in numbers])]


def _picture(x: torch.Tensor) -> Picture:
    return x.permute(1, 2, 0).contiguous().numpy()


def _grey_matrix(matrix: Matrix) -> Picture:
    """At 96 pixels a side, white where states are as far apart as independent noise would be twice over."""
    scaled = np.clip((matrix.values - matrix.low) / (matrix.high - matrix.low), 0, 1)
    side = max(1, 96 // len(scaled))
    big = np.kron(np.rint(255 * scaled).astype(np.uint8), np.ones((side, side), dtype=np.uint8))
    return np.repeat(big[..., None], 3, axis=2)


def _quiet(fraction: float) -> None:
    return None
