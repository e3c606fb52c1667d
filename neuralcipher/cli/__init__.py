"""The command line, `ncipher`. Importing it imports no torch, so that `ncipher --help` is instant."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import click
import typer

from neuralcipher.cli import demo, info, keygen, open, rekey, seal, verify
from neuralcipher.cli.console import print_error, tell
from neuralcipher.cli.process import prepare
from neuralcipher.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, NeuralCipherError, UsageError

app = typer.Typer(
    name="ncipher",
    help="Seal a video into small neural networks that only a key holder can play.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import neuralcipher

        typer.echo(f"ncipher {neuralcipher.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Seal a video into small neural networks that only a key holder can play."""


app.command("keygen")(keygen.keygen)
app.command("seal")(seal.seal)
app.command("open")(open.open_)
app.command("info")(info.info)
app.command("verify")(verify.verify)
app.command("rekey")(rekey.rekey)
app.command("demo")(demo.demo)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End like ^C does, so that temporary files are removed."""
    raise KeyboardInterrupt


def main() -> None:
    """Run the command and turn every expected failure into one sentence and an exit code."""
    prepare()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=False)
    except NeuralCipherError as error:
        print_error(error, as_json=as_json)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        if as_json:
            print_error(UsageError(error.format_message()), as_json=True)
        else:
            error.show()
        sys.exit(error.exit_code if isinstance(error, click.UsageError) else EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        tell("interrupted, nothing was left behind")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except MemoryError:
        print_error(NeuralCipherError("there is not enough memory", hint="shrink it with --scale"), as_json=as_json)
        sys.exit(EXIT_FAILED)
    sys.exit(code if isinstance(code, int) else 0)
