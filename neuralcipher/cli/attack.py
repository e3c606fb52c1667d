"""`ncipher attack`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuralcipher import forking
from neuralcipher.attacks.preload import warm
from neuralcipher.cli import completion
from neuralcipher.cli.console import attack_progress, columns, messages, print_json, result, result_lines, tell
from neuralcipher.cli.credentials import KeyOption, PassphraseFileOption, PassphraseOption, credentials
from neuralcipher.cli.numbers import number_options
from neuralcipher.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, UsageError
from neuralcipher.process import prepare

if TYPE_CHECKING:
    from neuralcipher.attacks.base import Info
    from neuralcipher.attacks.engine import Report
    from neuralcipher.attacks.judge import Row
    from neuralcipher.attacks.targets import Target


def attack(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="The bundle to attack; or name a --generator.", autocompletion=completion.bundles),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            help="feistel, autoencoder, chacha20, or a planted one such as weak-lcg32.",
            autocompletion=completion.generators,
        ),
    ] = None,
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-O", help="NAME=NUMBER for the generator, such as rounds=2.")
    ] = None,
    shape: Annotated[str, typer.Option(help="CxHxW of the generator's latent.")] = "3x128x128",
    list_: Annotated[bool, typer.Option("--list", help="List the attacks and what each states.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run this attack; may be given more than once.", autocompletion=completion.attacks),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="Leave this attack out; may be given more than once.", autocompletion=completion.attacks),
    ] = None,
    full: Annotated[bool, typer.Option("--full/--quick", help="Within an hour, or within two minutes.")] = False,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one for each core, at most 8.")] = None,
    budget: Annotated[float | None, typer.Option(help="Seconds for the whole run.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Keep finished rows in this folder, and go on from it.")] = None,
    assume_opened: Annotated[
        bool, typer.Option("--assume-opened", help="Look behind the outer encryption of a sealed bundle.")
    ] = False,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON; - is stdout.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as one HTML page.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the reports.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")] = False,
) -> None:
    """Attack a generator or a bundle, and say which of the paper's claims hold, for whom, by how much.

    Exit code 0: nothing was broken at this budget. 1: something was. 3: no decision, or a control failed.

    Example: ncipher attack --generator feistel

    Example: ncipher attack video.ncv --key k.bin --assume-opened --html report.html
    """
    to_stdout = json_ is not None and str(json_) == "-"
    if list_:
        _list(as_json=to_stdout)
        return
    _check_reports([path for path in (html, None if to_stdout else json_) if path is not None], force=force)
    prepare()  # before anything loads torch
    jobs = processes(jobs)
    if jobs > 1:
        warm()
    with forking.few_threads(1):
        target = _target(bundle, generator, key, passphrase, passphrase_file, option or [], shape, assume_opened)
        from neuralcipher.attacks.engine import Stopped, choose, run_suite
        from neuralcipher.attacks.resume import Journal
        from neuralcipher.attacks.session import Settings

    settings = Settings("full" if full else "quick", seed, budget)
    kinds = choose(only or (), skip or ())
    if not kinds:
        raise UsageError("no attack is left to run", hint="see ncipher attack --list")
    journal = Journal(resume) if resume is not None else None
    command = "ncipher " + " ".join(sys.argv[1:])
    with attack_progress(quiet=quiet or to_stdout) as progress:
        try:
            report = run_suite(
                target,
                settings=settings,
                attacks=kinds,
                jobs=jobs,
                journal=journal,
                command=command,
                progress=progress,
            )
        except Stopped as stop:
            report = stop.report
    _write(report, None if to_stdout else json_, html, force=force)
    if to_stdout:
        from neuralcipher.attacks.report.record import record

        print_json(record(report))
    else:
        _show(report, quiet=quiet)
    raise typer.Exit(_exit_code(report))


def processes(jobs: int | None) -> int:
    """How many to attack in: as asked, else one for each core, at most 8. Raises UsageError."""
    if jobs is None:
        return min(8, forking.cores())
    if jobs < 1:
        raise UsageError(f"jobs must be 1 or more, not {jobs}", hint="leave out --jobs for one a core")
    return jobs


def _exit_code(report: Report) -> int:
    from neuralcipher.attacks.base import Verdict

    if report.partial:
        return EXIT_INTERRUPTED
    if report.verdict is Verdict.BROKEN:
        return EXIT_FAILED
    return EXIT_DONE if report.verdict is Verdict.NOT_BROKEN else EXIT_INCONCLUSIVE


def _target(
    bundle: Path | None,
    generator: str | None,
    key: list[Path] | None,
    passphrase: bool,
    passphrase_file: Path | None,
    option: list[str],
    shape: str,
    assume_opened: bool,
) -> Target:
    if (bundle is None) == (generator is None):
        raise UsageError("name one target: a bundle, or --generator NAME", hint="see ncipher attack --help")
    options = number_options(option, "a generator", "rounds=2")
    if bundle is not None:
        if options:
            raise UsageError("a bundle holds its generator: -O is for --generator", hint="leave out -O")
        from neuralcipher.files import check_input

        check_input(bundle, "bundle")
        keys = credentials(key, passphrase, passphrase_file)
        from neuralcipher.attacks.targets import BundleTarget, PackedCredential
        from neuralcipher.container import BundleReader

        with BundleReader.open(bundle) as reader:
            reader.unlock(keys)  # a wrong key is told before the work
        return BundleTarget(bundle, tuple(PackedCredential.pack(k) for k in keys), assume_opened)
    if assume_opened:
        raise UsageError("--assume-opened is for a sealed bundle", hint="leave it out, or name a bundle")
    from neuralcipher.attacks.targets import GeneratorTarget

    target = GeneratorTarget(str(generator), _shape(shape), options)
    target.check()
    return target


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
        raise UsageError(f"{text!r} is not a latent shape", hint="write CxHxW, such as 3x128x128")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _check_reports(paths: list[Path], *, force: bool) -> None:
    """Find out before the work, not after it, that a report cannot be written."""
    from neuralcipher.files import check_output

    for path in paths:
        check_output(path, force=force)


def _write(report: Report, json_path: Path | None, html_path: Path | None, *, force: bool) -> None:
    import json

    from neuralcipher.attacks.report.html import page
    from neuralcipher.attacks.report.record import record
    from neuralcipher.files import output_file

    makers: list[tuple[Path | None, Callable[[], str]]] = [
        (json_path, lambda: json.dumps(record(report), indent=1)),
        (html_path, lambda: page(report)),
    ]
    for path, make in makers:
        if path is not None:
            with output_file(path, force=force) as file:
                file.write(make().encode())


def _list(*, as_json: bool) -> None:
    from neuralcipher.attacks.base import catalogue

    infos = catalogue()
    if as_json:
        print_json({"attacks": [_stated(info) for info in infos]})
        return
    for info in infos:
        models = ", ".join(model.value for model in info.threat_models)
        properties = ", ".join(str(number) for number in info.properties) or "-"
        result_lines(f"{info.number:>2} {info.name}: {info.title}", indent="   ")
        for line in (
            f"property {properties}; {models}; works on a {info.needs.value}",
            f"{info.statistic}; null: {info.null}; rule: {info.rule}",
            f"must catch: {info.positive}; must pass: {info.negative}",
        ):
            result_lines(f"   {line}", indent="     ")


def _stated(info: Info) -> dict[str, Any]:
    from neuralcipher.attacks.report.record import stated

    more = {"positive": info.positive, "negative": info.negative, "failure": info.failure}
    return {**stated(info), "needs": info.needs.value, **more}


def _show(report: Report, *, quiet: bool) -> None:
    """The table on stdout; notes and what was skipped on stderr."""
    for row in report.rows:
        if not row.skipped:
            _show_row(row)
    skipped = [row for row in report.rows if row.skipped]
    counts = f"{len(report.rows) - len(skipped)} attacks run, {len(skipped)} had nothing to attack"
    partial = ", stopped before the end" if report.partial else ""
    result(f"verdict: {report.verdict.value} ({counts}; {report.settings.depth}, {report.seconds:.0f} s{partial})")
    if quiet:
        return
    for row in report.rows:
        note = row.error or row.skipped or (row.target.note if row.target is not None else "")
        if note:
            tell(f"{row.info.name}: {note}")
    if messages().is_terminal:
        tell("an attack that fails shows what this budget did not reach, never that a target is secure")


def _show_row(row: Row) -> None:
    """One line, or two where the terminal is too narrow for what was measured."""
    value = "" if row.target is None else f"{row.target.value:.4g} {row.target.unit}"
    p = "" if row.adjusted is None else f"p {row.adjusted:.2g}"
    known = " (by design)" if row.known else ""
    line = f"{row.info.number:>2} {row.info.name:<25} {row.verdict.value + known:<20} {p:<9}"
    if len(f"{line} {value}") <= columns():
        result(f"{line} {value}".rstrip())
    else:
        result(line.rstrip())
        result_lines(f"   {value}", indent="   ")
