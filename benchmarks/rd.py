"""How many bytes for how much quality, beside video encoders and the neural peers?

    python benchmarks/rd.py CLIP[:WxH[:FRAMES]] ... [--budget 300] [--qualities 30,45,60,75] [--tune ms-ssim] [--peers]
        --out FOLDER
    python benchmarks/rd.py --scaling CLIP --out FOLDER

Each clip is decoded and scaled once (clips.py). We get the frames as PNG and seal them without sound; our bytes are
those of the whole bundle on disk, our pictures those of the opened bundle. The encoders (classical.py) get the same
frames and pay for their packets alone, which favours them. `--peers` trains the paper's autoencoder flow, NeRV and
HNeRV (peers.py) for the same seconds on the same threads, at about the bytes of our bundle at `--peer-quality`.
Results are written after every row to FOLDER/rd.json and rd.md; `--resume` skips rows that are there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from neuralcipher.process import prepare

prepare()  # before torch is loaded

import peers
import scaling
import torch
from clips import Clip, Frames, load_frames, parse_clip, write_pngs
from metrics import measure
from plot import plot_clip
from results import OURS, YARDSTICK, Key, Results, Row
from sealed import seal_and_open

from neuralcipher.pipeline.segments import segment_lengths
from neuralcipher.video import classical

PSNR, MS_SSIM = "psnr", "ms-ssim"
COVERED_DB = (26.0, 40.0)
_BUNDLE_OVERHEAD = 700  # bytes of a bundle that hold neither weights nor messages


class Bench:
    """One clip under measurement; every method adds one row, unless it is there already."""

    def __init__(self, results: Results, clip: str, frames: Frames, scratch: Path) -> None:
        self._results = results
        self._clip = clip
        self._frames = frames
        self._scratch = scratch
        self._pngs = scratch / "frames"
        write_pngs(frames, self._pngs)

    def sealed(self, quality: int, budget_s: float, tune: str = PSNR) -> Row:
        """Our default flow."""
        setting = f"quality {quality}" if tune == PSNR else f"quality {quality}, {tune}"
        key = (self._clip, OURS, setting, budget_s)
        return self._once(key, lambda: self._seal(key, "latent", {"quality": quality, "tune": tune}, ""))

    def encoded(self, encoder: classical.Encoder, crf: int) -> Row:
        """A video encoder at one rate factor."""
        key = (self._clip, encoder.name, f"crf {crf}", 0.0)

        def run() -> Row:
            coded = classical.run(encoder, crf, self._frames)
            return self._row(key, coded.size_bytes, coded.shown, coded.encode_s, coded.decode_s, "")

        return self._once(key, run)

    def autoencoder(self, like: Row) -> Row:
        """The paper's flow at about the bytes of `like`."""
        key = (self._clip, "autoencoder", f"as {like.setting}", like.budget_s)
        segments = len(segment_lengths(like.frames, like.height, like.width))
        nconv = peers.nconv_for(like.bytes, _BUNDLE_OVERHEAD, segments)
        return self._once(key, lambda: self._seal(key, "autoencoder", {"nconv": nconv}, f"nconv {nconv}"))

    def network(self, name: str, make: Callable[[int, Frames], peers.Network], like: Row) -> Row:
        """A peer's network at about the bytes of `like`."""
        key = (self._clip, name, f"as {like.setting}", like.budget_s)

        def run() -> Row:
            network = make(like.bytes, self._frames)
            started = time.perf_counter()
            steps = peers.train(network, self._frames, like.budget_s)
            data = peers.to_bytes(network, self._frames)
            trained = time.perf_counter()
            peers.from_bytes(data)  # to warm up
            warm = time.perf_counter()
            shown = peers.from_bytes(data)
            open_s = time.perf_counter() - warm
            weights = sum(p.numel() for p in peers.decoder_parameters(network))
            note = f"width {network.channels}, {weights:,} parameters, {steps:,} steps"
            return self._row(key, len(data), shown, trained - started, open_s, note)

        return self._once(key, run)

    def _seal(self, key: Key, flow: str, options: dict[str, object], note: str) -> Row:
        bundle = self._scratch / "b.ncv"
        sealed = seal_and_open(self._pngs, bundle, budget_s=key[3], flow=flow, flow_options=options)
        return self._row(key, sealed.size_bytes, sealed.shown, sealed.seal_s, sealed.open_s, note)

    def _once(self, key: Key, run: Callable[[], Row]) -> Row:
        found = self._results.find(key)
        if found is None:
            found = run()
            self._results.add(found)
            line = f"{found.bytes:,} bytes, {found.psnr_rgb:.2f} dB, {found.ms_ssim:.4f}, {found.seconds:.1f} s"
            print(f"{found.clip}: {found.curve}, {found.setting}: {line}", file=sys.stderr, flush=True)
        return found

    def _row(self, key: Key, size_bytes: int, shown: Frames, seconds: float, open_s: float, note: str) -> Row:
        clip, codec, setting, budget_s = key
        height, width, _ = self._frames[0].shape
        count = len(self._frames)
        metrics = measure(self._frames, shown)
        return Row(
            clip=clip,
            codec=codec,
            setting=setting,
            budget_s=budget_s,
            width=width,
            height=height,
            frames=count,
            bytes=size_bytes,
            bpp=round(8 * size_bytes / (width * height * count), 5),
            psnr_rgb=metrics.psnr_rgb,
            psnr_rgb_pooled=metrics.psnr_rgb_pooled,
            psnr_yuv611=metrics.psnr_yuv611,
            ms_ssim=metrics.ms_ssim,
            window=metrics.window,
            seconds=round(seconds, 2),
            fps=round(count / open_s, 1),
            note=note,
        )


def cover(bench: Bench, encoder: classical.Encoder) -> None:
    """Measure rate factors outwards from the middle until 26..40 dB are covered or the encoder's range ends."""
    low, high = COVERED_DB
    for step, last in ((-encoder.step, 1), (encoder.step, encoder.worst)):
        crf = encoder.middle
        while True:
            db = bench.encoded(encoder, crf).psnr_rgb
            if crf == last or (db >= high if step < 0 else db <= low):
                break
            crf = min(max(1, crf + step), encoder.worst)


def measure_clip(results: Results, clip: Clip, options: argparse.Namespace) -> str:
    """Everything about one clip; returns its name."""
    frames = load_frames(clip)
    name = clip.label(frames)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(results, name, frames, Path(scratch))
        for encoder in classical.encoders(tune_psnr=options.tune_psnr):
            cover(bench, encoder)
        for quality in options.qualities:
            bench.sealed(quality, options.budget, options.tune)
        if options.peers:
            like = bench.sealed(options.peer_quality, options.budget, options.tune)
            bench.autoencoder(like)
            bench.network("NeRV", peers.nerv_for, like)
            bench.network("HNeRV", peers.hnerv_for, like)
    return name


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", metavar="CLIP[:WxH[:FRAMES]]")
    parser.add_argument("--budget", type=float, default=300, help="seconds of fitting (300)")
    parser.add_argument("--qualities", type=_numbers, default="30,45,60,75", help="of ours; none if empty")
    parser.add_argument("--tune", choices=[PSNR, MS_SSIM], default=PSNR, help="of ours (psnr); a folder for each")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of ours and of the peers")
    parser.add_argument("--peers", action="store_true", help="also train the neural peers")
    parser.add_argument("--peer-quality", type=int, help="whose bytes the peers get (the middle quality)")
    parser.add_argument("--tune-psnr", action="store_true", help=f"also {YARDSTICK} with tune=psnr")
    parser.add_argument("--scaling", action="store_true", help="only how cost grows with frames and pixels")
    parser.add_argument("--resume", action="store_true", help="go on with the results in the folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    if options.peers and options.peer_quality is None:
        if not options.qualities:
            parser.error("--peers needs --peer-quality or --qualities")
        options.peer_quality = sorted(options.qualities)[len(options.qualities) // 2]
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    try:
        clips = [parse_clip(text) for text in options.clips]
        results = Results(options.out, resume=options.resume, threads=options.threads)
    except (FileNotFoundError, FileExistsError) as error:
        sys.exit(str(error))
    if options.scaling:
        results.scaling = [row for clip in clips for row in scaling.table(clip, options.threads)]
        results.write()
        print(scaling.markdown(results.scaling))
        return
    for clip in clips:
        plot_clip(results, measure_clip(results, clip, options))
    print(results.markdown())


if __name__ == "__main__":
    main()
