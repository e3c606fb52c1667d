"""`ncipher report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.attack import processes
from neuralcipher.cli.console import attack_progress, print_json, progress_line, result, size_text, tell, warn
from neuralcipher.cli.credentials import (
    KeyOption,
    PassphraseFileOption,
    PassphraseOption,
    credentials,
    takes_passphrase,
)
from neuralcipher.errors import EXIT_DAMAGED, UsageError
from neuralcipher.process import prepare

if TYPE_CHECKING:
    from neuralcipher.attacks.report.summary import Summary
    from neuralcipher.keys import Credential
    from neuralcipher.pipeline.examining import Examination

_DEPTHS = ("none", "quick", "full")


def report(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", autocompletion=completion.bundles)],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; default: BUNDLE.report.html.", show_default=False)
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="The video that was sealed: every frame is compared with it.")
    ] = None,
    attack: Annotated[str, typer.Option(help="Attack the bundle too: none, quick or full.")] = "none",
    attack_report: Annotated[
        Path | None, typer.Option(help="Take a finished run instead: what ncipher attack --json FILE wrote.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run this attack; may be given more than once.", autocompletion=completion.attacks),
    ] = None,
    assume_opened: Annotated[
        bool, typer.Option("--assume-opened", help="Attack what lies behind the outer encryption too.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Processes for the attacks; default: one for each core.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the page.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", autocompletion=completion.devices)] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write one HTML page on a bundle: what it is, pictures, quality, whether it is whole, what attacks say.

    Exit code 4: the bundle is damaged; the page is written all the same if its directory can be read.

    Example: ncipher report video.ncv --key k.bin --video video.mp4 -o report.html
    """
    from neuralcipher.files import check_input, check_output, output_file

    _check_options(attack, attack_report, only, assume_opened, jobs)
    count = processes(jobs)
    asked = takes_passphrase(bundle)
    target = bundle.with_suffix(".report.html") if output is None else output
    inputs = [bundle, *(key or []), *(path for path in (passphrase_file, video, attack_report) if path is not None)]
    check_output(target, force=force, inputs=inputs)
    if video is not None and not video.is_dir():
        check_input(video, "video")
    keys = credentials(key, passphrase, passphrase_file, ask=asked)
    prepare()
    if attack != "none" and count > 1:
        from neuralcipher.attacks.preload import warm

        warm()
    attacked = None if attack_report is None else _finished_run(attack_report, bundle)
    silent = quiet or as_json
    from neuralcipher.pipeline.examining import examine

    with progress_line(quiet=silent) as progress:
        found = examine(bundle, keys=keys, original=video, device=device, progress=progress)
    if found.problems and attack != "none":
        warn(f"{found.name} is damaged, so it is not attacked")
    elif attack != "none":
        attacked = _run_attacks(bundle, keys, attack, only or [], assume_opened, count, quiet=silent)
    from neuralcipher.attacks.report.bundle_page import bundle_page

    page = bundle_page(found, attacked).encode("utf-8")
    with output_file(target, force=force) as file:
        file.write(page)
    _show(found, attacked, target, len(page), quiet=quiet, as_json=as_json)
    if found.problems:
        raise typer.Exit(EXIT_DAMAGED)


def _check_options(
    attack: str, attack_report: Path | None, only: list[str] | None, assume_opened: bool, jobs: int | None
) -> None:
    if attack not in _DEPTHS:
        raise UsageError(f"{attack!r} is not a depth of attack", hint=f"there are: {', '.join(_DEPTHS)}")
    if attack != "none" and attack_report is not None:
        raise UsageError("--attack and --attack-report cannot be given together", hint="choose one of them")
    if attack == "none" and (only or assume_opened or jobs is not None):
        raise UsageError(
            "--only, --assume-opened and --jobs say how to attack, and nothing is attacked", hint="pass --attack quick"
        )
    if only:
        from neuralcipher.attacks.base import find

        for name in only:
            find(name)


def _finished_run(path: Path, bundle: Path) -> Summary:
    """What an earlier run found. Raises UsageError if it attacked something else."""
    from neuralcipher.attacks.report.summary import check_about, read_summary
    from neuralcipher.container import BundleReader
    from neuralcipher.pipeline.examining import file_digest

    found = read_summary(path)
    with BundleReader.open(bundle) as reader:
        check_about(found, path, reader.name, file_digest(reader))
    return found


def _run_attacks(
    bundle: Path, keys: list[Credential], depth: str, only: list[str], assume_opened: bool, jobs: int, *, quiet: bool
) -> Summary:
    from neuralcipher import attacks
    from neuralcipher.attacks.engine import Stopped
    from neuralcipher.attacks.report.summary import summarised

    with attack_progress(quiet=quiet) as progress:
        try:
            run = attacks.run(
                bundle, keys=keys, assume_opened=assume_opened, only=only, depth=depth, jobs=jobs, progress=progress
            )
        except Stopped:
            raise KeyboardInterrupt from None
    return summarised(run)


def _show(
    found: Examination, attacked: Summary | None, target: Path, size_bytes: int, *, quiet: bool, as_json: bool
) -> None:
    quality = None if found.fit is None else found.fit.quality
    if as_json:
        fields: dict[str, Any] = {
            "report": str(target),
            "bundle": found.name,
            "whole": not found.problems,
            "problems": [problem.message for problem in found.problems],
            "frames": found.video.frames,
            "bits_per_pixel": round(found.bits_per_pixel, 6),
            "psnr_db": None if quality is None else round(quality.psnr_db, 3),
            "ssim": None if quality is None else round(quality.ssim, 5),
            "ms_ssim": None if quality is None else round(quality.ms_ssim, 5),
            "similarity": None if quality is None else quality.window,
            "attack_verdict": None if attacked is None else attacked.verdict.value,
        }
        print_json(fields)
        return
    told = f"{len(found.problems)} problems" if found.problems else "whole"
    told += "" if quality is None else f", {quality.psnr_db:.2f} dB"
    told += "" if attacked is None else f", attacks: {attacked.verdict.value}"
    result(f"{target}: {size_text(size_bytes)}; {found.name}: {told}")
    if not quiet:
        tell("the page shows pictures of the video in clear")
