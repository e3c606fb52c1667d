"""The same frames for the same seconds through several flows, and what classical encoders need for the same quality."""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neuralcipher.container import BundleReader
from neuralcipher.errors import NeuralCipherError, UsageError
from neuralcipher.flows import base as flows
from neuralcipher.keys import Key
from neuralcipher.pipeline.kinds import SECTION_AUDIO
from neuralcipher.pipeline.options import Progress, ProgressCallback, SealOptions, silent
from neuralcipher.pipeline.sealing import seal
from neuralcipher.pipeline.segments import render_segment
from neuralcipher.pipeline.stored import StoredSegment, stored_segments, stored_video
from neuralcipher.video import classical, quality
from neuralcipher.video.reading import probe, read_frames

Picture = NDArray[np.uint8]

_SHEET_FRAMES = 4


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One codec on the frames.

    size_bytes: the bundle without sound, or all packets. ratio: raw bytes to size. encode_s_per_frame: of sealing or
    encoding. decode_fps: frames per second to memory. parameters: weights of the networks of F, None for a
    classical encoder. keyed: whether the frames depend on the key, None for a
    classical encoder. shown: numbers of frames and what the codec makes of them. note: what it was set to.
    error: why there is no result, or "".
    """

    codec: str
    size_bytes: int = 0
    ratio: float = 0.0
    psnr_db: float = 0.0
    ssim: float = 0.0
    ms_ssim: float = 0.0
    encode_s_per_frame: float = 0.0
    decode_fps: float = 0.0
    parameters: int | None = None
    keyed: bool | None = None
    note: str = ""
    error: str = ""
    shown: tuple[Picture, ...] = dataclasses.field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """rows: in the order that was asked for, then the classical encoders. truth: the frames that rows show.

    similarity: which measure ms_ssim is, such as "ms-ssim 11x11".
    """

    video: str
    frames: int
    width: int
    height: int
    budget_s: float
    similarity: str
    rows: tuple[ComparedRow, ...]
    truth: tuple[Picture, ...] = dataclasses.field(default=(), repr=False)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows without their pictures, as `pandas.DataFrame` takes them."""
        names = [field.name for field in dataclasses.fields(ComparedRow) if field.name != "shown"]
        return [{name: getattr(row, name) for name in names} for row in self.rows]

    def _repr_html_(self) -> str:
        """For notebooks: one row for each codec."""
        head = "".join(f"<th>{escape(name)}</th>" for name in _HEADS)
        title = f"{self.video}: {self.frames} frames of {self.width}x{self.height}, {self.budget_s:g} s a flow"
        body = "".join(f"<tr>{_html_cells(row)}</tr>" for row in self.rows)
        note = f"<p>{escape(title)}; MS-SSIM is {escape(self.similarity)}; sound is not counted</p>"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


_HEADS = ("codec", "bytes", "ratio", "PSNR, dB", "SSIM", "MS-SSIM", "s/frame", "fps", "weights", "keyed")


def _html_cells(row: ComparedRow) -> str:
    name = f"<td>{escape(f'{row.codec} {row.note}'.rstrip())}</td>"
    if row.error:
        return f'{name}<td colspan="{len(_HEADS) - 1}">{escape(row.error)}</td>'
    cells = (
        f"{row.size_bytes:,}",
        f"{row.ratio:.0f}",
        f"{row.psnr_db:.2f}",
        f"{row.ssim:.4f}",
        f"{row.ms_ssim:.4f}",
        f"{row.encode_s_per_frame:.3f}",
        f"{row.decode_fps:.0f}",
        "" if row.parameters is None else f"{row.parameters:,}",
        {True: "yes", False: "no", None: ""}[row.keyed],
    )
    return name + "".join(f"<td>{cell}</td>" for cell in cells)


def compare(
    video: str | os.PathLike[str],
    names: Sequence[str],
    *,
    budget_s: float,
    scale: str | None = None,
    max_frames: int | None = None,
    generator: str = "feistel",
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> Comparison:
    """Seal the video with each flow for `budget_s` seconds, open it, and measure; real files, all bytes counted.

    A flow that fails becomes a row with its error. x264 and AV1 are set to reach the first row's PSNR.
    Raises UsageError for an unknown flow or no flow, VideoError and the other errors of reading.
    """
    if not names:
        raise UsageError("there is nothing to compare", hint="name flows, such as --flows latent,autoencoder")
    for name in names:
        flows.find(name)
    video = Path(video)
    probed = probe(video, scale=scale, max_frames=max_frames)
    frames = list(read_frames(video, probed))
    numbers = sorted({round(i * (len(frames) - 1) / (_SHEET_FRAMES - 1)) for i in range(_SHEET_FRAMES)})
    rows: list[ComparedRow] = []
    similarity = ""
    for index, name in enumerate(names):

        def part(report: Progress, index: int = index) -> None:
            progress(dataclasses.replace(report, fraction=(index + report.fraction) / len(names)))

        options = SealOptions(
            flow=name, generator=generator, budget_s=budget_s, scale=scale, max_frames=max_frames, seed=seed
        )
        try:
            row, similarity = _flow_row(video, name, options, frames, numbers, part)
        except UsageError:
            raise
        except NeuralCipherError as error:
            row = ComparedRow(name, error=error.message)
        rows.append(row)
    aim = next((row.psnr_db for row in rows if not row.error), 30.0)
    rows += _classical_rows(frames, numbers, aim)
    info = probed.info
    truth = tuple(frames[number] for number in numbers)
    return Comparison(str(video), len(frames), info.width, info.height, budget_s, similarity, tuple(rows), truth)


def _flow_row(
    video: Path,
    name: str,
    options: SealOptions,
    frames: Sequence[Picture],
    numbers: Sequence[int],
    progress: ProgressCallback,
) -> tuple[ComparedRow, str]:
    with tempfile.TemporaryDirectory(prefix="ncipher-compare-") as folder:
        path, key = Path(folder) / "compared.ncv", Key.generate()
        started = time.perf_counter()
        seal(video, path, keys=[key], options=options, progress=progress)
        sealed_s = time.perf_counter() - started
        with BundleReader.open(path) as reader:
            reader.unlock([key])
            sound = reader.section(SECTION_AUDIO)
            size_bytes = path.stat().st_size - (sound.length if sound else 0)
            started = time.perf_counter()
            segments = stored_segments(reader, stored_video(reader))
            shown = list(_opened(reader, segments))
            opened_s = time.perf_counter() - started
            kind = flows.find(name)
            parameters = sum(kind.parameters(reader.read_section(s.flow)) for s in segments)
    return _measured(
        name, frames, shown, numbers, size_bytes, sealed_s, opened_s, parameters=parameters, keyed=kind.keyed
    )


def _measured(
    codec: str,
    frames: Sequence[Picture],
    shown: Sequence[Picture],
    numbers: Sequence[int],
    size_bytes: int,
    encode_s: float,
    decode_s: float,
    **more: Any,
) -> tuple[ComparedRow, str]:
    """The row of a codec that made `shown` of the frames, and which measure its similarity is."""
    found = quality.compare(frames, shown)
    row = ComparedRow(
        codec,
        size_bytes,
        sum(frame.nbytes for frame in frames) / size_bytes,
        found.psnr_db,
        found.ssim,
        found.ms_ssim,
        encode_s / len(frames),
        len(frames) / decode_s,
        shown=tuple(shown[number] for number in numbers),
        **more,
    )
    return row, found.window


def _opened(reader: BundleReader, segments: Sequence[StoredSegment]) -> Iterator[Picture]:
    device = torch.device("cpu")
    return itertools.chain.from_iterable(render_segment(reader, segment, device) for segment in segments)


def _classical_rows(frames: Sequence[Picture], numbers: Sequence[int], aim_db: float) -> list[ComparedRow]:
    """x264 and AV1 at the coarsest rate factor that reaches the PSNR."""
    rows = []
    found = classical.encoders()
    for encoder in (found[0], found[-1]):
        try:
            crf, coded = _at_psnr(encoder, frames, aim_db)
        except (ValueError, OSError, StopIteration) as error:  # PyAV's own errors are among these
            rows.append(ComparedRow(encoder.name, error=f"this PyAV cannot run it: {error}"))
            continue
        times = coded.encode_s, coded.decode_s
        row, _ = _measured(encoder.name, frames, coded.shown, numbers, coded.size_bytes, *times, note=f"crf {crf}")
        rows.append(row)
    return rows


def _at_psnr(encoder: classical.Encoder, frames: Sequence[Picture], aim_db: float) -> tuple[int, classical.Coded]:
    """By bisection of the rate factor; the finest if even that falls short."""
    low, high = 0, encoder.worst
    best = classical.run(encoder, low, frames)
    while high - low > 1:
        middle = (low + high) // 2
        coded = classical.run(encoder, middle, frames)
        if quality.psnr_db(frames, coded.shown) >= aim_db:
            low, best = middle, coded
        else:
            high = middle
    return low, best
