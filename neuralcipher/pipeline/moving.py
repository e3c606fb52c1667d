"""Moving segments from one bundle to another, under another bundle key and perhaps another number, without training."""

from __future__ import annotations

import torch

from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.errors import UsageError
from neuralcipher.generators.base import Keystream
from neuralcipher.pipeline.segments import load_segment, start
from neuralcipher.pipeline.stored import StoredSegment


def moved_flow(reader: BundleReader, segment: StoredSegment, writer: BundleWriter, number: int) -> bytes:
    """The flow's section of a segment as segment `number` of the bundle that is being written.

    A start latent depends on bundle key, salt and number, so what is masked by the old keystream is masked anew; the
    generator stays. Raises UsageError, naming the bundle, if the flow was trained on its keystream.
    """
    device = torch.device("cpu")
    flow, section, old = load_segment(reader, segment, reader.segment_seed(segment.number), device)
    new = Keystream(old.generator, start(writer.segment_seed(number), old.shape, device))
    try:
        return flow.remask(section, old, new)
    except UsageError as error:
        raise UsageError(f"{reader.name}: {error.message}", hint=error.hint) from error
