"""`ncipher info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, result_lines, size_text, visible
from neuralcipher.cli.credentials import (
    KeyOption,
    PassphraseFileOption,
    PassphraseOption,
    credentials,
)

if TYPE_CHECKING:
    from neuralcipher.container import Section


def info(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", autocompletion=completion.bundles)],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what a bundle is; with its key, also what is inside.

    Example: ncipher info video.ncv --key k.bin
    """
    from neuralcipher.container import BundleReader

    with BundleReader.open(bundle) as reader:
        facts: dict[str, Any] = {
            "version": reader.version,
            "suite": reader.suite,
            "slots": [slot.kind for slot in reader.slots],
            "size_bytes": reader.size_bytes,
        }
        if key or passphrase or passphrase_file:
            reader.unlock(credentials(key, passphrase, passphrase_file, ask=False))
            facts |= _inside(reader)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if name == "sections":
            for section in value:
                text = f"{section['kind']} {section['segment']}: {size_text(section['length'])}"
                if "frames" in section:
                    text += f", {section['frames']} frames"
                result_lines(f"  {visible(text)}", indent="    ")
        else:
            shown = ", ".join(value) if isinstance(value, list) else value
            result_lines(visible(f"{name.replace('_', ' ')}: {shown}"))


def _inside(reader: Any) -> dict[str, Any]:
    """What the encrypted part says, read without loading any network."""
    from neuralcipher.pipeline.stored import stored_video

    video = stored_video(reader)
    names = {
        kind: [s.attributes.get("name") for s in reader.sections if s.kind == kind] for kind in ("generator", "flow")
    }
    return {
        "name": video.source_name,
        "frames": video.frames,
        "width": video.width,
        "height": video.height,
        "duration_s": round(float(video.duration_s), 3),
        "generator": str(names["generator"][0]) if names["generator"] else "",
        "flow": str(names["flow"][0]) if names["flow"] else "",
        "sections": [_section(section) for section in reader.sections],
    }


def _section(section: Section) -> dict[str, Any]:
    fields = {"kind": section.kind, "segment": section.segment, "length": section.length}
    frames = section.attributes.get("frames")
    return fields | ({"frames": frames} if type(frames) is int else {})
