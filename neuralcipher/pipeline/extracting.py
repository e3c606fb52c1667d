"""The sound of a bundle alone. Imports no torch, so that it is there at once."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neuralcipher.container import BundleReader
from neuralcipher.errors import NeuralCipherError
from neuralcipher.files import check_output, output_path
from neuralcipher.keys import Credential
from neuralcipher.pipeline.kinds import SECTION_AUDIO
from neuralcipher.video.metadata import AudioTrack
from neuralcipher.video.soundfile import check_holds, check_sound_name, usual_suffix, write_sound


@dataclass(frozen=True, slots=True)
class SoundReport:
    """What was extracted; the fields of `ncipher extract-audio --json`. size_bytes: of the packets of sound."""

    output: str
    codec: str
    sample_rate: int
    layout: str
    packets: int
    size_bytes: int
    seconds: float


def extract_audio(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    keys: Sequence[Credential],
    force: bool = False,
) -> SoundReport:
    """Write the sound of a bundle into a file of its own, its packets unchanged; nothing but the sound is decrypted.

    output: .m4a, .mka, .aac, .mp3, .ogg, .opus, .flac, .wav ...; by default the bundle's name with what is
    usual for the codec. Appears complete or not at all. keys: as for opening; none for a bare bundle.
    Raises NeuralCipherError if there is no sound; UsageError, naming those that can, if the format cannot hold it;
    WrongKeyError, BundleError, OutputExistsError.
    """
    started = time.monotonic()
    path = Path(bundle)
    if output is not None:
        check_sound_name(Path(output))
        check_output(Path(output), force=force, inputs=[path])
    with BundleReader.open(path) as reader:
        reader.unlock(keys)
        section = reader.section(SECTION_AUDIO)
        audio = None if section is None else AudioTrack.from_bytes(reader.read_section(section))
    if audio is None or not audio.packets:
        raise NeuralCipherError(f"{path.name} has no sound", hint="ncipher open takes its pictures")
    target = path.with_suffix(usual_suffix(audio)) if output is None else Path(output)
    check_holds(audio, target)
    check_output(target, force=force, inputs=[path])
    with output_path(target, force=force) as temporary:
        write_sound(temporary, audio)
    return SoundReport(
        output=str(target),
        codec=audio.codec,
        sample_rate=audio.sample_rate,
        layout=audio.layout,
        packets=len(audio.packets),
        size_bytes=audio.size_bytes,
        seconds=round(time.monotonic() - started, 3),
    )
