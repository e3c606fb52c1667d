"""How fast is a bundle opened: frames a second, the first frame, and where the work goes?

    python benchmarks/opening_speed.py [CLIP[:WxH[:FRAMES]] ...] [--quality 50] [--runs 9] [--threads 1]

Each clip is sealed with one attempt and no training. Then a process of its own opens it: seconds to the first picture
once the imports are done, and frames a second of all pictures, without writing a video. The best run counts, since
whatever else a machine does only makes a run slower; the median is beside it. After that, in one thread, processor
time and multiplications by part: those of matrix products and convolutions as they are carried out (filters and colours
with the zeros they are padded with), those of the entropy networks, and products of windows and weights one by one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuralcipher.process import prepare

prepare()  # before torch is loaded

import torch
from clips import load_frames, parse_clip, write_pngs
from sealed import CPU
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import neuralcipher
from neuralcipher.container import BundleReader
from neuralcipher.flows.latent import flow, section
from neuralcipher.flows.latent.head import Head
from neuralcipher.flows.latent.model import IntegerNetwork
from neuralcipher.flows.latent.structure import groups
from neuralcipher.flows.latent.synthesis import Synthesis
from neuralcipher.pipeline.segments import load_segment, render_segment
from neuralcipher.pipeline.stored import stored_segments, stored_video

PARTS = ("entropy decoding", "references", "prediction", "residual", "repair and colour")
_PRODUCTS = ("aten::mul", "aten::mul_", "aten::addcmul_")


class Multiplications(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what torch multiplies in this thread."""

    def __init__(self, found: Counter[str], part: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found, self._part = found, part

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in flop_registry:
            self._found[self._part] += flop_registry[packet](*args, **(kwargs or {}), out_val=made) // 2
        elif func._schema.name in _PRODUCTS and made.is_floating_point():
            self._found[self._part] += made.numel()
        return made


class Parts:
    """Seconds of this thread and multiplications of each part."""

    def __init__(self, count: bool) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.products: Counter[str] = Counter()
        self._count = count

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.thread_time()
        if self._count:
            with Multiplications(self.products, name), _networks_counted(self.products, name):
                yield
        else:
            yield
        self.seconds[name] += time.thread_time() - started


@contextmanager
def _networks_counted(found: Counter[str], part: str) -> Iterator[None]:
    logits: Callable[..., Any] = IntegerNetwork.logits

    def counted(self: IntegerNetwork, features: Any) -> Any:
        found[part] += (self.first.size + self.second.size) * features[0].size
        return logits(self, features)

    IntegerNetwork.logits = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        IntegerNetwork.logits = logits  # type: ignore[method-assign]


def by_part(bundle: Path, key: neuralcipher.Key, count: bool) -> Parts:
    """Open everything in one thread, part after part."""
    found = Parts(count)
    with BundleReader.open(bundle) as reader, torch.no_grad():
        reader.unlock([key])
        for segment in stored_segments(reader, stored_video(reader)):
            _, data, keystream = load_segment(reader, segment, reader.segment_seed(segment.number), CPU)
            parsed = section.parse(data)
            head = Head.from_bytes(*parsed.unmask(0, keystream))
            synthesis, shown = Synthesis(head.quality, CPU), flow._Shown(head, parsed, CPU)
            decoded = flow._decode(parsed, groups(parsed.plan), keystream, head.quality)
            while True:
                with found.part(PARTS[0]):
                    group, latents = next(decoded, (None, []))
                if group is None:
                    break
                for stored in latents:
                    frame = stored.frame
                    with found.part(PARTS[1]):
                        for index in (frame.first, frame.second):
                            if index >= 0:
                                synthesis.reference(index)
                    with found.part(PARTS[2]):
                        predicted = synthesis.predict(frame, stored.motion)
                    with found.part(PARTS[3]):
                        picture = synthesis.finish(stored, predicted)
                    with found.part(PARTS[4]):
                        shown.picture(*picture, frame.level)
                synthesis.forget(group.keep)
    return found


@dataclass(frozen=True, slots=True)
class Opened:
    """Wall clock and processor seconds of opening everything, and the same to the first picture."""

    frames: int
    wall_s: float
    processor_s: float
    first_wall_s: float
    first_processor_s: float


def opened(bundle: Path, key: neuralcipher.Key) -> Opened:
    """Open a bundle and make all of its pictures."""
    count, first = 0, (0.0, 0.0)
    started, processor = time.perf_counter(), time.process_time()
    with BundleReader.open(bundle) as reader:
        reader.unlock([key])
        for segment in stored_segments(reader, stored_video(reader)):
            for _ in render_segment(reader, segment, CPU):
                if not count:
                    first = time.perf_counter() - started, time.process_time() - processor
                count += 1
    return Opened(count, time.perf_counter() - started, time.process_time() - processor, *first)


def child(bundle: Path, key_file: Path, runs: int, threads: int) -> dict[str, Any]:
    """What the process of its own does."""
    torch.set_num_threads(threads)
    key = neuralcipher.Key.read(key_file)
    found = [opened(bundle, key) for _ in range(runs)]
    frames = found[0].frames
    torch.set_num_threads(1)
    parts = [by_part(bundle, key, False).seconds for _ in range(max(2, runs // 2))]
    least = {name: min(part[name] for part in parts) for name in PARTS}
    return {
        "frames": frames,
        "first_picture_s": round(found[0].first_wall_s, 3),
        "first_picture_processor_s": round(found[0].first_processor_s, 3),
        "frames_per_s": round(frames / min(each.wall_s for each in found), 1),
        "frames_per_s_median": round(frames / statistics.median(each.wall_s for each in found), 1),
        "processor_ms_per_frame": round(1000 * min(each.processor_s for each in found) / frames, 2),
        "one_thread_ms_per_frame": {name: round(1000 * s / frames, 2) for name, s in least.items()},
        "products": dict(by_part(bundle, key, True).products),
    }


def measure(text: str, quality: int, runs: int, threads: int) -> dict[str, Any]:
    """Seal a clip and open it in a process of its own."""
    clip = parse_clip(text)
    frames = load_frames(clip)
    with tempfile.TemporaryDirectory() as folder:
        pngs, bundle, key_file = (Path(folder, name) for name in ("frames", "b.ncv", "k.bin"))
        write_pngs(frames, pngs)
        key = neuralcipher.generate_key()
        key.write(key_file)
        options = neuralcipher.SealOptions(flow_options={"quality": quality, "steps": 0}, seed=0, device="cpu")
        report = neuralcipher.seal(pngs, bundle, keys=[key], options=options)
        command = [sys.executable, __file__, "--child", str(bundle), str(key_file), str(runs), str(threads)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    height, width, _ = frames[0].shape
    pixels = height * width * len(frames)
    products = {name: round(number / pixels, 1) for name, number in found.pop("products").items()}
    shown = {"clip": clip.label(frames), "quality": quality, "bytes": report.size_bytes, "psnr_db": report.psnr_db}
    sums = {"multiplications_per_pixel": products, "of_all_parts": round(sum(products.values()))}
    return shown | {"threads": threads} | found | sums


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        bundle, key_file, runs, threads = sys.argv[2:]
        print(json.dumps(child(Path(bundle), Path(key_file), int(runs), int(threads))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", default=["bunny:320x180:64"], metavar="CLIP[:WxH[:FRAMES]]")
    parser.add_argument("--quality", type=int, default=50)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch in each stage; ncipher open takes 1 on 2 cores"
    )
    options = parser.parse_args()
    rows = [measure(text, options.quality, options.runs, options.threads) for text in options.clips]
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
