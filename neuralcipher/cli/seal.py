"""`ncipher seal`."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcipher.cli import completion, many
from neuralcipher.cli.console import print_json, progress_line, result, size_text, tell, warn
from neuralcipher.cli.credentials import KeyOption, PassphraseFileOption, PassphraseOption, credentials
from neuralcipher.cli.numbers import number_options
from neuralcipher.errors import UsageError
from neuralcipher.process import prepare

if TYPE_CHECKING:
    from neuralcipher.pipeline.options import SealReport

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([kmg]i?)?b?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def seal(
    videos: Annotated[
        list[Path],
        typer.Argument(
            metavar="VIDEO...", help="A video, or a folder of PNG or JPEG frames; several with --output-dir."
        ),
    ],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The bundle; default: VIDEO.ncv")] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            help="Seal each VIDEO into FOLDER/NAME.ncv, go on after one that cannot be sealed, and end with a table "
            "(exit code 1 if any failed). The folder is made if it is not there.",
            metavar="FOLDER",
        ),
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="With --output-dir: leave out videos whose bundle is there.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the bundle.")] = False,
    preset: Annotated[
        str,
        typer.Option(
            help="fast, balanced or best: 5, 16 or 80 seconds per megapixel, all frames together. "
            "Coding itself takes about 5 of them, whatever the budget; training gets the rest.",
            autocompletion=completion.presets,
        ),
    ] = "balanced",
    budget: Annotated[float | None, typer.Option(help="Seconds for the whole video instead of a preset.")] = None,
    quality: Annotated[int | None, typer.Option(help="0..100, of the latent flow (default 60).")] = None,
    tune: Annotated[
        str | None,
        typer.Option(
            help="psnr or ms-ssim: the measure by which the latent flow makes pictures as good as the bytes allow "
            "(default psnr)."
        ),
    ] = None,
    target_size: Annotated[
        str | None,
        typer.Option(
            help="Choose the quality so that the bundle takes at most this, sound included: 500000, 500k, 1.5M, 300KiB."
        ),
    ] = None,
    target_psnr: Annotated[
        float | None, typer.Option(help="Choose the quality so that the pictures have at least so many dB, such as 35.")
    ] = None,
    scale: Annotated[str | None, typer.Option(help="Shrink to WIDTHxHEIGHT; one may be -1.")] = None,
    max_frames: Annotated[int | None, typer.Option(help="Seal only the first so many frames.")] = None,
    segment_frames: Annotated[
        int | None,
        typer.Option(
            help="At most so many frames in a segment, which is fitted and opened alone (default 256). Segments begin "
            "at scene cuts where they can."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", help="Segments fitted at once; default: one a core, as far as memory allows."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Fit the segments on a Ray cluster: auto for the one that runs here, or HOST:PORT."),
    ] = None,
    flow: Annotated[
        str,
        typer.Option(
            help="latent, autoencoder, recurrent, mlp or lstm, or one that you installed.",
            autocompletion=completion.flows,
        ),
    ] = "latent",
    generator: Annotated[
        str, typer.Option(help="feistel, autoencoder or chacha20.", autocompletion=completion.generators)
    ] = "feistel",
    option: Annotated[
        list[str] | None, typer.Option("--option", "-O", help="NAME=NUMBER for the flow, such as steps=500.")
    ] = None,
    keyframe_threshold: Annotated[
        int | None, typer.Option(help="dB; the recurrent flow stores a true frame wherever its recall falls below.")
    ] = None,
    upscale: Annotated[
        int | None,
        typer.Option(
            help="The recurrent flow recalls pictures so many times smaller; a network enlarges and repairs them."
        ),
    ] = None,
    suite: Annotated[
        str, typer.Option(help="sealed, or bare (readable <g,F>, for research).", autocompletion=completion.suites)
    ] = "sealed",
    aead: Annotated[
        str, typer.Option(help="chacha20-poly1305 or aes-256-gcm.", autocompletion=completion.aeads)
    ] = "chacha20-poly1305",
    include_private: Annotated[
        bool, typer.Option("--include-private", help="Store sound and name in a bare bundle too, in clear.")
    ] = False,
    no_resume: Annotated[
        bool, typer.Option("--no-resume", help="Begin anew, and drop what an interrupted run of this command kept.")
    ] = False,
    checkpoint_every: Annotated[
        float, typer.Option(metavar="<seconds>", help="Keep what is done so often, encrypted, beside the bundle.")
    ] = 30.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", autocompletion=completion.devices)] = "auto",
    seed: Annotated[int | None, typer.Option(help="Make the training draws reproducible.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a damaged video instead of warning.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with --output-dir one a video.")
    ] = False,
) -> None:
    """Seal a video into a bundle that only the holder of the key can open.

    Example: ncipher seal video.mp4 --key k.bin

    Example: ncipher seal video.mp4 --key k.bin --target-size 1.5M

    Example: ncipher seal video.mp4 --key k.bin --target-psnr 35 --preset best

    Example: ncipher seal *.mp4 --key k.bin --output-dir sealed/
    """
    if jobs is not None and ray is not None:
        raise UsageError("--jobs is for this machine and --ray for a cluster", hint="pass one of the two")
    many.check(videos, output, output_dir, skip_existing=skip_existing, force=force)
    target_bytes = None if target_size is None else parse_bytes(target_size)
    flow_options: dict[str, object] = dict(number_options(option or [], "a flow", "steps=500"))
    named = {"quality": quality, "tune": tune, "keyframe_threshold": keyframe_threshold, "upscale": upscale}
    flow_options |= {name: value for name, value in named.items() if value is not None}
    if upscale is not None and upscale > 1:
        flow_options.setdefault("stages", 1)
    from neuralcipher.files import check_input, check_output
    from neuralcipher.pipeline.options import SealOptions

    options = SealOptions(
        generator=generator,
        flow=flow,
        flow_options=flow_options,
        preset=preset,
        budget_s=budget,
        suite=suite,
        aead=aead,
        seed=seed,
        device=device,
        scale=scale,
        max_frames=max_frames,
        segment_frames=segment_frames,
        strict=strict,
        include_private=include_private,
        target_bytes=target_bytes,
        target_psnr_db=target_psnr,
    )
    video = videos[0]
    target = output or many.bundle_for(video)
    if output_dir is None:
        if not video.is_dir():
            check_input(video, "video")
        check_output(target, force=force, inputs=[video])
    keys = credentials(key, passphrase, passphrase_file, confirm=True, quiet=quiet)
    if suite == "bare" and not quiet:
        warn("a bare bundle is not encrypted: the networks are readable, and what they hide is what is being studied")
    prepare()
    from neuralcipher.pipeline.sealing import seal as run

    def one(video: Path, target: Path) -> SealReport:
        with progress_line(quiet=quiet or as_json) as progress:
            return run(
                video,
                target,
                keys=keys,
                options=options,
                force=force,
                resume=not no_resume,
                checkpoint_s=checkpoint_every,
                jobs=jobs,
                ray=ray,
                progress=progress,
                tell=(lambda sentence: None) if quiet else tell,
            )

    if output_dir is not None:
        from neuralcipher.pipeline.fitting import SegmentFitter

        SegmentFitter(options)  # what no video could be sealed with is refused once, and before the first
        many.seal_all(videos, output_dir, one, force=force, skip_existing=skip_existing, quiet=quiet, as_json=as_json)
        return
    report = one(video, target)
    if as_json:
        print_json(dataclasses.asdict(report))
        return
    result(
        f"{report.bundle}: {size_text(report.size_bytes)} for {report.frames} frames of {report.width}x{report.height}"
        f" (raw {size_text(report.raw_bytes)}, file {size_text(report.source_bytes)}), {report.psnr_db:.2f} dB,"
        f" {report.similarity.split()[0].upper()} {report.ms_ssim:.4f}, {report.seconds:.0f} s"
    )


def parse_bytes(text: str) -> int:
    """Bytes of "500000", "500k", "1.5M", "2MB" or "300KiB": k, M, G are powers of 1000, Ki, Mi, Gi of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a size", hint="write bytes, such as 500000, 500k, 1.5M or 300KiB")
    from fractions import Fraction  # here, since --help does without

    return int(Fraction(match[1]) * _UNITS[(match[2] or "").lower()])
