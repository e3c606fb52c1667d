"""Sealing: video and keys in, bundle out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neuralcipher.errors import UsageError
from neuralcipher.files import check_output, output_file
from neuralcipher.keys import Argon2Parameters, Credential
from neuralcipher.pipeline.beginning import Beginning
from neuralcipher.pipeline.checkpoint import Checkpoint
from neuralcipher.pipeline.cluster import Cluster
from neuralcipher.pipeline.crew import Alone, Crew
from neuralcipher.pipeline.identity import identity
from neuralcipher.pipeline.job import Job, Source
from neuralcipher.pipeline.jobs import Processes, fitting_jobs
from neuralcipher.pipeline.options import Progress, ProgressCallback, SealOptions, SealReport, silent
from neuralcipher.pipeline.targets import check_sound, missed, plan_sentence
from neuralcipher.video.reading import probe


def seal(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    keys: Sequence[Credential],
    options: SealOptions | None = None,
    argon2: Argon2Parameters | None = None,
    force: bool = False,
    resume: bool = True,
    checkpoint_s: float = 30.0,
    jobs: int | None = 1,
    ray: str | None = None,
    progress: ProgressCallback = silent,
    tell: Callable[[str], None] = lambda sentence: None,
) -> SealReport:
    """Seal a video into a bundle that only the holder of one of `keys` can open.

    source: a video file, or a folder of frames. output: the bundle; appears complete or not at all.
    keys: Key or Passphrase, 1..32 (one Key for the suite "bare"). argon2: cost of passphrase slots.
    resume: go on where an earlier call for the same output was stopped; else what it kept is dropped.
    checkpoint_s: seconds between two times that work is kept, encrypted, in a folder beside the output.
    jobs: segments that are fitted at once, each in a process of its own if there are several, which needs an importable
    main module, as `multiprocessing` does; None chooses by cores and memory.
    ray: address of a Ray cluster that fits them instead, or "auto".
    tell: called with sentences for the user: warnings about the video, and the time it will take.
    Raises NeuralCipherError and its children, UsageError also if what was kept is of another video, key or
    configuration; whatever `progress` raises passes through. Only that folder is left then, if anything was kept.
    """
    options = options or SealOptions()
    source, output = Path(source), Path(output)
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs must be 1 or more, not {jobs}", hint="leave it out for one a core")
    if not keys:
        raise UsageError("sealing needs a key", hint="pass --key or --passphrase")
    check_output(output, force=force, inputs=[source])
    started = time.monotonic()
    progress(Progress("reading", 0.0))
    probed = probe(source, scale=options.scale, max_frames=options.max_frames, strict=options.strict)
    for warning in probed.warnings:
        tell(warning)
    job = Job(Source.of(source, probed, options), options, progress, tell)
    crew = _crew(job, options, jobs, ray)
    sound_bytes = len(job.sound()) if options.target_bytes is not None else 0
    check_sound(sound_bytes, options)
    tell(plan_sentence(probed.info, options, codes=job.fitter.flow_type.rate_controlled, at_once=crew.size))
    budget_s = options.seconds(probed.info.frames * probed.info.height * probed.info.width)
    if options.budget_s is not None:  # of this clock, not of every process
        budget_s *= crew.size

    def same() -> dict[str, Any]:
        return identity(source, probed, options)

    if not resume:
        Checkpoint.drop(output)
    kept = Checkpoint.resume(output, keys, same, checkpoint_s, tell)
    if kept is None:
        kept = Checkpoint(output, Beginning.fresh(keys, options, argon2), same, checkpoint_s, tell)
    else:
        tell(f"going on from {kept.folder}")
    try:
        with output_file(output, force=force) as file:
            meter = job.write(file, kept, crew, budget_s, sound_bytes)
        kept.remove()
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(*_kept_sentence(kept)) from stop
    finally:
        kept.close()
    quality = meter.result()
    size_bytes = output.stat().st_size
    miss = missed(options, size_bytes, quality.psnr_db)
    if miss is not None:
        job.warnings.append(miss)
        tell(miss)
    info = probed.info
    return SealReport(
        bundle=str(output),
        size_bytes=size_bytes,
        raw_bytes=3 * info.width * info.height * info.frames,
        source_bytes=info.source_bytes,
        frames=info.frames,
        width=info.width,
        height=info.height,
        psnr_db=round(quality.psnr_db, 3),
        ms_ssim=round(quality.ms_ssim, 5),
        similarity=quality.window,
        seconds=round(time.monotonic() - started, 3),
        suite=options.suite,
        generator=options.generator,
        flow=options.flow,
        segments=len(job.source.lengths),
        warnings=(*probed.warnings, *job.warnings),
    )


def _kept_sentence(kept: Checkpoint) -> list[str]:
    return [f"{kept.folder} keeps what was done; the same command goes on from there"] if kept.is_kept else []


def _crew(job: Job, options: SealOptions, jobs: int | None, ray: str | None) -> Crew:
    if ray is not None:
        return Cluster(options, ray)
    segments = len(job.source.lengths)
    if jobs is None:
        on_cpu = job.fitter.device.type == "cpu"
        jobs = fitting_jobs(segments, job.source.largest_bytes) if on_cpu else 1
    size = min(jobs, segments)
    return Alone(job.fitter) if size == 1 else Processes(options, size)
