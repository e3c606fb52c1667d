"""Long videos: what sealing and opening cost as segments grow in number, alone, in two jobs and on a Ray cluster.

    python benchmarks/scale.py [--out scale/] [--size 96x54] [--segment-frames 48] [--long 15000] [--no-ray] [CLIP ...]

A video is made of pieces of real clips, one after the other with cuts between (`--piece` frames each, another place of
the clip each time). Every measurement is a process of its own. Memory is that of all its processes together, pages
that they share counted once, and without the code of libraries: how much of that a process is charged with depends on
what else runs. The number of training steps is fixed (`--steps`), so that the work is the same each time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from typing import Any

import av
from clips import Picture, load_frames, parse_clip

SEGMENTS = "1,2,4,8,16"
LENGTHS = (16, 32, 64, 128, 256, 512)
SHORT = 250  # frames: ten seconds
SHOWN = 10
CLIPS = ("bunny", "bikes", "carphone")
_LOOK_EVERY_S = 0.05
_OWN = ("Pss_Anon:", "Pss_Shmem:")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", metavar="CLIP", nargs="*", default=CLIPS)
    parser.add_argument("--out", type=Path, default=Path("scale"))
    parser.add_argument("--size", default="96x54")
    parser.add_argument("--segment-frames", type=int, default=48)
    parser.add_argument("--segments", default=SEGMENTS, help="how many, in the first table")
    parser.add_argument("--piece", type=int, default=48)
    parser.add_argument("--long", type=int, default=15_000, help="frames of the long video, 0 for none")
    parser.add_argument("--lengths", type=int, default=512, help="frames to try lengths of segments on, 0 for none")
    parser.add_argument("--runs", type=int, default=1, help="of each measurement; the fastest counts")
    parser.add_argument("--flow", default="latent")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--no-segments", action="store_true", help="leave out the first table")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    width, height = map(int, options.size.split("x"))
    clips = [load_frames(replace(parse_clip(text), size=(width, height), frames=0)) for text in options.clips]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        names = ("size", "segment_frames", "flow", "steps")
        results: dict[str, Any] = {name: getattr(options, name) for name in names}
        if not options.no_segments:
            results["segments"] = list(by_segments(folder, clips, options))
        if options.lengths:
            results["lengths"] = list(by_segment_frames(folder, clips, options))
        if options.long:
            results["long"] = list(by_length(folder, clips, options))
    (options.out / "scale.json").write_text(json.dumps(results, indent=2) + "\n")
    (options.out / "scale.md").write_text(markdown(results))
    if "segments" in results:
        plot(results, options.out / "scale.png")
    print(markdown(results))


def by_segments(folder: Path, clips: list[list[Picture]], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row for each number of segments: seconds alone, with two jobs, and on a cluster of two cores."""
    with cluster(options.no_ray) as address:
        for segments in map(int, options.segments.split(",")):
            video, frames = folder / "video.mp4", segments * options.segment_frames
            write(video, clips, frames, options.piece)
            row: dict[str, Any] = {"segments": segments, "frames": frames}
            ways = {"one": ["--jobs", "1"], "two": ["--jobs", "2"]}
            if address:
                ways["ray"] = ["--ray", address]
            for name, way in ways.items():
                runs = [
                    seal(video, folder / "v.ncv", options, options.segment_frames, way) for _ in range(options.runs)
                ]
                best = min(runs, key=lambda run: float(run["seconds"]))
                row |= {f"{name}_s": best["seconds"], f"{name}_mb": best["peak_mb"], "bytes": best["size_bytes"]}
                if name == "one":  # the others' workers are nobody's children
                    row["one_processor_s"] = best["processor_s"]
            print(row, file=sys.stderr, flush=True)
            yield row


def by_segment_frames(
    folder: Path, clips: list[list[Picture]], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """The same video in segments of different lengths: what they cost in bytes and in memory."""
    video = folder / "lengths.mp4"
    write(video, clips, options.lengths, 3 * options.piece)
    for most in LENGTHS:
        row = {"most": most, **seal(video, folder / "v.ncv", options, most, ["--jobs", "1"])}
        print(row, file=sys.stderr, flush=True)
        yield row


def by_length(folder: Path, clips: list[list[Picture]], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Ten seconds and the long video in segments of half of that, so that both keep two jobs busy."""
    for frames in (SHORT, options.long):
        video, bundle = folder / "long.mp4", folder / f"{frames}.ncv"
        write(video, clips, frames, options.piece)
        row = {"frames": frames, **seal(video, bundle, options, SHORT // 2, ["--jobs", "2"])}
        for name, span in (("middle", (frames // 2, frames // 2 + SHOWN)), ("whole", (0, frames))):
            opened = child("open", str(bundle), str(folder / "o.y4m"), *map(str, span))
            row |= {f"open_{name}_s": opened["seconds"], f"open_{name}_mb": opened["peak_mb"]}
            (folder / "o.y4m").unlink()
        print(row, file=sys.stderr, flush=True)
        yield row


def seal(video: Path, bundle: Path, options: argparse.Namespace, most: int, way: list[str]) -> dict[str, Any]:
    """Seal in segments of at most `most` frames, 0 for as sealing chooses."""
    return child("seal", str(video), str(bundle), options.flow, str(options.steps), str(most), *way)


def child(*arguments: str) -> dict[str, Any]:
    """Run one measurement in a process of its own, watching the memory of it and its children."""
    before = processor_s()
    process = subprocess.Popen([sys.executable, __file__, "--child", *arguments], stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        time.sleep(_LOOK_EVERY_S)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with exit code {process.returncode}")
    output = process.communicate()[0]
    return {**json.loads(output), "peak_mb": round(peak / 1e6, 1), "processor_s": round(processor_s() - before, 1)}


def processor_s() -> float:
    """Of all children that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tree_bytes(root: int) -> int:
    """Memory of a process and all that descend from it, what they share once.

    Pages of files (the code of libraries) are left out: how many there are depends on what else the machine does.
    """
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    total = 0
    for pid in parents:
        at = pid
        while at not in (0, root):
            at = parents.get(at, 0)
        if at == root:
            with suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith(_OWN))
    return total


@contextmanager
def cluster(unwanted: bool) -> Iterator[str]:
    """The address of a Ray cluster of two cores on this machine."""
    if unwanted:
        yield ""
        return
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 2, "object_store_memory": 200 << 20, "include_dashboard": False}
    local = Cluster(initialize_head=True, head_node_args=head)
    yield local.address
    local.shutdown()


def write(path: Path, clips: list[list[Picture]], frames: int, piece: int) -> None:
    """A video of so many frames in pieces of clips in turn."""
    height, width, _ = clips[0][0].shape
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(
            "libx264", rate=25, options={"crf": "16", "preset": "ultrafast", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, picture in enumerate(islice(pieces(clips, piece), frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def pieces(clips: list[list[Picture]], piece: int) -> Iterator[Picture]:
    for turn in count():
        clip = clips[turn % len(clips)]
        start = turn // len(clips) * piece % max(1, len(clip) - piece)
        yield from clip[start : start + piece]


def measure(what: str, source: str, target: str, *rest: str) -> None:
    """In the child: print one JSON object."""
    from neuralcipher.process import good_neighbour

    good_neighbour()  # before torch is loaded
    from neuralcipher import Key, SealOptions
    from neuralcipher.pipeline import opening, sealing
    from neuralcipher.pipeline.parts import frames_part

    key = Key(bytes(range(32)))
    started = time.perf_counter()
    if what == "open":
        opening.open_bundle(source, target, keys=[key], part=frames_part(":".join(rest)))
        print(json.dumps({"seconds": round(time.perf_counter() - started, 3)}))
        return
    flow, steps, most, how, value = rest
    options = SealOptions(seed=1, flow=flow, flow_options={"steps": int(steps)}, segment_frames=int(most) or None)
    way: dict[str, Any] = {"ray": value} if how == "--ray" else {"jobs": int(value)}
    report = sealing.seal(source, target, keys=[key], options=options, force=True, **way)
    fields = {"segments": report.segments, "size_bytes": report.size_bytes, "psnr_db": report.psnr_db}
    if flow == "latent":
        fields["changes_bytes"] = changes_bytes(target, key)
    print(json.dumps({"seconds": report.seconds, **fields}))


def changes_bytes(bundle: str, key: Any) -> int:
    """What the segments' own weights take: all that weights shared between segments could save."""
    from neuralcipher import Bundle
    from neuralcipher.flows.latent.head import PREFIX_BYTES
    from neuralcipher.flows.latent.section import parse
    from neuralcipher.pipeline.kinds import SECTION_FLOW

    with Bundle.open(Path(bundle)) as reader:
        reader.unlock([key])
        sections = [reader.read_section(section) for section in reader.sections if section.kind == SECTION_FLOW]
    return sum(len(parse(section).messages[0]) - PREFIX_BYTES for section in sections)


def markdown(results: dict[str, Any]) -> str:
    """Both tables."""
    lines: list[str] = []
    if "segments" in results:
        heads = ("segments", "frames", "one job", "s a frame", "processor s a frame", "two jobs", "times faster")
        lines += [f"| {' | '.join([*heads, 'Ray, 2 cores', 'Ray / two jobs'])} |", "|---" * 9 + "|"]
    for row in results.get("segments", ()):
        ray = row.get("ray_s")
        cells = [row["segments"], row["frames"], f"{row['one_s']:.1f} s", f"{row['one_s'] / row['frames']:.3f}"]
        cells += [f"{row['one_processor_s'] / row['frames']:.3f}"]
        cells += [f"{row['two_s']:.1f} s", f"{row['one_s'] / row['two_s']:.2f}"]
        cells += [f"{ray:.1f} s", f"{ray / row['two_s']:.2f}"] if ray else ["-", "-"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    if "lengths" in results:
        heads = ("frames a segment", "segments", "bytes", "PSNR", "peak memory", "seconds")
        lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        form = "| {most} | {segments} | {size_bytes:,} | {psnr_db:.2f} dB | {peak_mb:.0f} MB | {seconds:.1f} s |"
        lines += [form.format(**row) for row in results["lengths"]]
    if "long" in results:
        heads = ("frames", "segments", "bytes", "own weights", "seal", "peak memory")
        heads += ("10 frames of the middle", "peak", "whole", "peak")
        lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        form = (
            "| {frames:,} | {segments} | {size_bytes:,} | {changes_bytes:,} | {seconds:.1f} s | {peak_mb:.0f} MB "
            "| {open_middle_s:.2f} s | {open_middle_mb:.0f} MB | {open_whole_s:.1f} s | {open_whole_mb:.0f} MB |"
        )
        lines += [form.format(**row) for row in results["long"]]
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Seconds against segments, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8), dpi=150)
    rows = results["segments"]
    for name, label in (("one", "one job"), ("two", "two jobs"), ("ray", "Ray, two cores")):
        if f"{name}_s" in rows[0]:
            axes.plot([row["segments"] for row in rows], [row[f"{name}_s"] for row in rows], "o-", label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("segments")
    axes.set_ylabel("seconds to seal")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        measure(*sys.argv[2:])
    else:
        main()
