"""`ncipher demo`: the whole story on a small real clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuralcipher.cli.console import print_json, progress_line, size_text, tables, tell
from neuralcipher.process import prepare

if TYPE_CHECKING:
    from PIL import Image

_SHOWN = 4
_LABELS = ("truth", "opened with the key", "a wrong key, outer encryption set aside")


def demo(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to write; default: a new ncipher-demo.")
    ] = None,
    budget: Annotated[float, typer.Option(help="Seconds of fitting.")] = 25.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Seal a short real clip with sound, open it with the right key and with a wrong one, and compare.

    Example: ncipher demo
    """
    prepare()
    import neuralcipher
    from neuralcipher.keys import Key
    from neuralcipher.pipeline.opening import open_bundle
    from neuralcipher.pipeline.options import SealOptions
    from neuralcipher.pipeline.sealing import seal

    say = (lambda sentence: None) if quiet or as_json else tell
    target = _new_folder(folder)
    say(f"writing into {target}")
    key, wrong = Key.generate(), Key.generate()
    key.write(target / "key.bin")
    wrong.write(target / "wrong.bin")
    bundle, opened, sheet = target / "bunny.ncv", target / "opened.mp4", target / "sheet.png"
    with progress_line(quiet=quiet or as_json) as progress:
        sealed = seal(
            neuralcipher.demo_clip(),
            bundle,
            keys=[key],
            options=SealOptions(budget_s=budget),
            progress=progress,
            tell=say,
        )
        report = open_bundle(bundle, opened, keys=[key], progress=progress)
    refusal = _refusal(bundle, wrong, target / "never.mp4")
    _contact_sheet(bundle, key, wrong).save(sheet)
    from neuralcipher.container import BundleReader
    from neuralcipher.pipeline.kinds import SECTION_AUDIO

    with BundleReader.open(bundle) as reader:
        reader.unlock([key])
        sound = reader.section(SECTION_AUDIO)
    sound_bytes = sound.length if sound else 0
    rows = {
        "frames": f"{sealed.frames} of {sealed.width}x{sealed.height}",
        "bundle": f"{size_text(sealed.size_bytes)}, of which sound {size_text(sound_bytes)}",
        "raw frames / pictures in the bundle": f"{sealed.raw_bytes / (sealed.size_bytes - sound_bytes):.0f}x",
        "source file / bundle": f"{sealed.source_bytes / sealed.size_bytes:.2f}x",
        "PSNR": f"{sealed.psnr_db:.2f} dB",
        "MS-SSIM": f"{sealed.ms_ssim:.4f} ({sealed.similarity})",
        "seal / open": f"{sealed.seconds:.1f} s / {report.seconds:.1f} s",
        "wrong key": refusal,
        "picture": str(sheet),
    }
    if as_json:
        print_json(
            {"folder": str(target), "sound_bytes": sound_bytes, "wrong_key": refusal, "sheet": str(sheet)}
            | {
                name: getattr(sealed, name)
                for name in ("frames", "size_bytes", "raw_bytes", "psnr_db", "ms_ssim", "seconds")
            }
        )
        return
    tables().print(_table(rows))


def _new_folder(folder: Path | None) -> Path:
    from neuralcipher.errors import OutputExistsError, UsageError

    number = 1
    while True:
        target = folder or Path("ncipher-demo" if number == 1 else f"ncipher-demo-{number}")
        try:
            target.mkdir()
        except FileExistsError:
            if folder is not None:
                raise OutputExistsError(f"{folder} exists already", hint="name a folder that does not") from None
            number += 1
        except OSError as error:
            reason = (error.strerror or "error").lower()
            sentence = f"the folder {target} cannot be made: {reason}"
            raise UsageError(sentence, hint="choose another with --folder") from None
        else:
            return target


def _refusal(bundle: Path, wrong: Any, output: Path) -> str:
    """What a wrong key gets from the real bundle."""
    from neuralcipher.errors import WrongKeyError
    from neuralcipher.pipeline.opening import open_bundle

    try:
        open_bundle(bundle, output, keys=[wrong])
    except WrongKeyError as error:
        return f"refused: {error.message}"
    return "accepted, which is a bug"


def _table(rows: dict[str, str]) -> Any:
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _contact_sheet(bundle: Path, key: Any, wrong: Any) -> Image.Image:
    """Frames of the truth, of the opened bundle, and of what the flow shows under a wrong key."""
    import torch

    import neuralcipher
    from neuralcipher.cli.sheets import contact_sheet
    from neuralcipher.container import BundleReader
    from neuralcipher.generators.base import Keystream
    from neuralcipher.keys import segment_seed
    from neuralcipher.pipeline.segments import load_segment, render_segment, start
    from neuralcipher.pipeline.stored import stored_segments, stored_video
    from neuralcipher.video.reading import probe, read_frames

    clip = neuralcipher.demo_clip()
    cpu = torch.device("cpu")
    with BundleReader.open(bundle) as reader:
        reader.unlock([key])
        segment = stored_segments(reader, stored_video(reader))[0]
        shown = [round(i * (segment.frames - 1) / (_SHOWN - 1)) for i in range(_SHOWN)]
        flow, section, keystream = load_segment(reader, segment, reader.segment_seed(0), cpu)
        seed = segment_seed(wrong, reader.header.salt, 0)
        imposter = Keystream(keystream.generator, start(seed, keystream.shape, cpu))
        rows = (
            [picture for i, picture in enumerate(read_frames(clip, probe(clip))) if i in shown],
            [picture for i, picture in enumerate(render_segment(reader, segment, cpu)) if i in shown],
            [x.permute(1, 2, 0).numpy() for i, x in enumerate(flow.render(section, imposter, cpu)) if i in shown],
        )
    return contact_sheet(list(zip(_LABELS, rows, strict=True)))
