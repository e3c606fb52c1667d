"""Looking after bundles: what is inside, whether it is whole, and which keys open it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from neuralcipher.container import SUITE_SEALED, BundleReader, BundleWriter, Problem
from neuralcipher.errors import NeuralCipherError, UsageError
from neuralcipher.files import output_file
from neuralcipher.keys import Argon2Parameters, Credential
from neuralcipher.pipeline.kinds import SECTION_FLOW
from neuralcipher.pipeline.moving import moved_flow
from neuralcipher.pipeline.options import Progress, ProgressCallback, silent
from neuralcipher.pipeline.segments import load_segment
from neuralcipher.pipeline.stored import stored_audio, stored_segments, stored_video


def verify(path: str | os.PathLike[str], *, keys: Sequence[Credential]) -> list[Problem]:
    """Check every chunk, every section and what they hold; returns the problems, none if the bundle is whole.

    Raises what opening raises while the header is read: NotABundleError, WrongKeyError, HeaderDamagedError ...
    """
    with BundleReader.open(Path(path)) as reader:
        reader.unlock(keys)
        return problems_in(reader)


def problems_in(reader: BundleReader) -> list[Problem]:
    """The same for a bundle that is unlocked."""
    return reader.verify() or _parse_problems(reader)


def _parse_problems(reader: BundleReader) -> list[Problem]:
    """Problems inside sections whose bytes are authentic (or, in a bare bundle, undamaged)."""
    try:
        info = stored_video(reader)
        stored_audio(reader)
        segments = stored_segments(reader, info)
    except NeuralCipherError as error:
        return [Problem(error.message)]
    problems = []
    for segment in segments:
        try:
            load_segment(reader, segment, reader.segment_seed(segment.number), torch.device("cpu"))
        except NeuralCipherError as error:
            problems.append(Problem(error.message, offset=0, sections=((SECTION_FLOW, segment.number),)))
    return problems


def rotate(
    path: str | os.PathLike[str],
    *,
    keys: Sequence[Credential],
    new_keys: Sequence[Credential],
    argon2: Argon2Parameters | None = None,
    progress: ProgressCallback = silent,
) -> None:
    """Draw a new bundle key and encrypt the payload again, without training.

    keys: open the bundle. new_keys: open the result; no other slot is kept, as none can be made without its key.
    Flows whose first map is a keystream mask are re-masked; a flow trained on its keystream raises UsageError.
    """
    path = Path(path)
    with BundleReader.open(path) as reader:
        reader.unlock(keys)
        if reader.suite != SUITE_SEALED:
            raise UsageError(f"{path.name} is bare and has no bundle key", hint="seal the video again")
        flows = {segment.number: segment for segment in stored_segments(reader, stored_video(reader))}
        with output_file(path, force=True) as file:
            writer = BundleWriter.create_sealed(file, new_keys, aead=reader.aead, argon2=argon2)
            for section in reader.sections:
                if section.kind == SECTION_FLOW:
                    data = moved_flow(reader, flows[section.segment], writer, section.segment)
                    progress(Progress("writing", (section.segment + 1) / len(flows)))
                else:
                    data = reader.read_section(section)
                writer.add_section(section.kind, section.segment, data, **section.attributes)
            writer.finish(dict(reader.metadata))
