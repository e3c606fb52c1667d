"""The page of `ncipher report`: what a bundle is, how good its pictures are, whether it is whole, what attacks say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from neuralcipher.attacks.figures import Lines, Pictures
from neuralcipher.attacks.report.html import CLASSES, HEADLINES, NOT_SHOWN
from neuralcipher.attacks.report.markup import document, items, pairs, scrolled, table
from neuralcipher.attacks.report.summary import Summary, summary_table
from neuralcipher.attacks.report.svg import figure_html, number, shares_bar
from neuralcipher.container import SUITE_BARE
from neuralcipher.pipeline.examining import Examination, Fit, FrameQuality, Picture, ShownPicture
from neuralcipher.pipeline.kinds import SECTION_AUDIO
from neuralcipher.video.metadata import plain_text

_MOST_POINTS = 400
_MOST_SEGMENTS = 64
_CLEAR = "This page holds pictures of the video in clear: whoever has it needs no key to see them."
_BARE = (
    "The suite is bare: the networks are readable, anyone may have made or changed the bundle, and nothing tells "
    "whether the key was the right one. A wrong key shows as pictures of noise."
)
_NO_ATTACK = "No attack was run: --attack quick runs the suite, --attack-report FILE takes a finished report."


def bundle_page(found: Examination, attacked: Summary | None) -> str:
    """The HTML; it needs no other file and no network, and holds no secret. attacked: None if nothing was attacked."""
    return document(f"Report on {plain_text(found.name)}", "".join(_body(found, attacked)))


def _body(found: Examination, attacked: Summary | None) -> Iterator[str]:
    yield _headline(found)
    yield f'<section class="box"><p>{escape(_CLEAR)}</p></section>\n'
    if found.suite == SUITE_BARE:
        yield f'<section class="box"><p>{escape(_BARE)}</p></section>\n'
    yield f"<section><h2>What it is</h2>{_facts(found)}</section>\n"
    yield f"<section><h2>Where the bytes go</h2>{_bytes(found)}</section>\n"
    yield f"<section><h2>Pictures</h2>{_pictures(found.pictures)}</section>\n"
    yield f"<section><h2>Quality</h2>{_quality(found.fit)}</section>\n"
    yield f"<section><h2>Whole or damaged</h2>{_problems(found)}</section>\n"
    yield f"<section><h2>Segments</h2>{_segments(found)}</section>\n"
    yield f"<section><h2>Attacks</h2>{_attacks(attacked)}</section>\n"


def _headline(found: Examination) -> str:
    count = len(found.problems)
    verdict = (
        f"{count} problem{'s' if count > 1 else ''} found." if count else "Whole: every chunk and section was checked."
    )
    quality = found.fit.quality if found.fit is not None else None
    told = f" {quality.psnr_db:.2f} dB against {found.fit.original}." if quality is not None and found.fit else ""
    video = found.video
    size = f"{video.frames:,} frames of {video.width}x{video.height} in {found.size_bytes:,} bytes"
    return (
        f"<header><h1>Report on {escape(plain_text(found.name))}</h1>"
        f'<div class="headline {"bad" if count else "good"}"><strong>{escape(verdict)}</strong>'
        f'{escape(plain_text(told))}</div><p class="soft">{escape(size)}</p></header>\n'
    )


def _facts(found: Examination) -> str:
    video = found.video
    generators, flows = _names(s.generator_name for s in found.segments), _names(s.flow_name for s in found.segments)
    rate = video.average_rate[0] / video.average_rate[1]
    return pairs(
        {
            "format": f"version {found.version}, suite {found.suite}" + (f", {found.aead}" if found.aead else ""),
            "key slots": f"{len(found.slots)}: {', '.join(found.slots)}" if found.slots else "none",
            "made by": plain_text(found.tool),
            "video": plain_text(video.source_name),
            "frames": f"{video.frames:,} of {video.width}x{video.height}, {number(rate)} a second on average",
            "takes": f"{float(video.duration_s):.3f} s",
            "segments": f"{len(found.segments):,}",
            "generator": generators,
            "flow": flows,
            "sound": _sound(found),
            "SHA-256": found.sha256,
        }
    )


def _sound(found: Examination) -> str:
    sound = found.sound
    if sound is None:
        return "cannot be read" if any(share.kind == SECTION_AUDIO for share in found.shares) else "none"
    size = f"{sound.packets:,} packets of {sound.size_bytes:,} bytes together"
    return f"{plain_text(sound.codec)}, {sound.sample_rate:,} Hz, {plain_text(sound.layout)}, {size}"


def _names(names: Iterator[str]) -> str:
    return ", ".join(plain_text(name) for name in dict.fromkeys(names))


def _bytes(found: Examination) -> str:
    named = [(plain_text(share.kind), share.size_bytes) for share in found.shares]
    rows = [
        (plain_text(share.kind), f"{share.size_bytes:,}", f"{100 * share.size_bytes / found.size_bytes:.1f} %")
        for share in found.shares
    ]
    rows.append(("file", f"{found.size_bytes:,}", "100.0 %"))
    facts = {
        "bits per pixel": f"{found.bits_per_pixel:.4f}, sound aside",
        "raw frames": f"{found.raw_bytes:,} bytes as 8-bit RGB, {number(found.ratio)} times the file without its sound",
        "source file": f"{found.video.source_bytes:,} bytes" if found.video.source_bytes else "",
    }
    return shares_bar("bytes by kind of section", named) + table(("kind", "bytes", "of the file"), rows) + pairs(facts)


def _pictures(shown: Sequence[ShownPicture]) -> str:
    """Opened frames in one row; with an original, each beside it in a row of its own."""
    rows: list[list[tuple[str, Picture]]] = []
    alone: list[tuple[str, Picture]] = []
    missing = []
    for picture in shown:
        name = f"frame {picture.number}, {picture.time_s:.2f} s"
        if picture.opened is None:
            missing.append(f"frame {picture.number} cannot be shown: its segment is damaged")
        elif picture.truth is None:
            alone.append((name, picture.opened))
        else:
            rows.append([(f"{name}, opened", picture.opened), ("original", picture.truth)])
    rows += [alone] if alone else []
    sheet = figure_html(Pictures("At most 320 pixels a side.", rows)) if rows else ""
    return sheet + (items(missing) if missing else "")


def _quality(fit: Fit | None) -> str:
    if fit is None:
        return "<p>Not measured: --video ORIGINAL compares every frame with the video that was sealed.</p>"
    if fit.quality is None:
        return "<p>Not measured: no frame could be opened.</p>"
    quality = fit.quality
    worst = min(fit.frames, key=lambda frame: frame.psnr_db)
    similarity = quality.window.split()[0].upper()
    facts = {
        "PSNR": f"{quality.psnr_db:.2f} dB, mean over frames",
        "PSNR, pooled": f"{quality.pooled_psnr_db:.2f} dB, of the mean squared error of all frames",
        "SSIM": f"{quality.ssim:.4f}",
        similarity if similarity != "SSIM" else "SSIM, small window": f"{quality.ms_ssim:.4f} ({quality.window})",
        "frames": f"{quality.frames:,} compared",
        "worst frame": f"{worst.number}: {worst.psnr_db:.2f} dB, SSIM {worst.ssim:.4f}",
    }
    thin, step = _thinned(fit.frames)
    numbers = [float(frame.number) for frame in thin]
    note = f"<p>Each point is the mean of {step} frames.</p>" if step > 1 else ""
    curves = [
        Lines("PSNR by frame", "frame", "PSNR, dB", {"PSNR": (numbers, [f.psnr_db for f in thin])}),
        Lines("similarity by frame", "frame", "similarity", _similarities(thin, numbers, similarity)),
    ]
    drawn = "".join(figure_html(curve) for curve in curves)
    return pairs(facts) + note + f'<div class="figures">{drawn}</div>'


def _similarities(
    frames: Sequence[FrameQuality], numbers: list[float], name: str
) -> dict[str, tuple[list[float], list[float]]]:
    found = {"SSIM": (numbers, [frame.ssim for frame in frames])}
    return found | ({} if name == "SSIM" else {name: (numbers, [frame.ms_ssim for frame in frames])})


def _thinned(frames: Sequence[FrameQuality]) -> tuple[list[FrameQuality], int]:
    """At most 400 points: means over so many frames each, at the middle one's number."""
    step = -(-len(frames) // _MOST_POINTS)
    if step == 1:
        return list(frames), 1
    groups = (frames[start : start + step] for start in range(0, len(frames), step))
    return [
        FrameQuality(
            group[len(group) // 2].number,
            float(np.mean([f.psnr_db for f in group])),
            float(np.mean([f.ssim for f in group])),
            float(np.mean([f.ms_ssim for f in group])),
        )
        for group in groups
    ], step


def _problems(found: Examination) -> str:
    if not found.problems:
        return f"<p>ncipher verify says: {escape(plain_text(found.name))} is whole.</p>"
    told = []
    for problem in found.problems:
        hit = ", ".join(f"{kind} {segment}" for kind, segment in problem.sections)
        told.append(plain_text(problem.message + (f" (hits {hit})" if hit else "")))
    return "<p>ncipher verify says:</p>" + items(told)


def _segments(found: Examination) -> str:
    hit = {(kind, segment) for problem in found.problems for kind, segment in problem.sections}
    rows, first = [], 0
    for segment in found.segments[:_MOST_SEGMENTS]:
        whole = not {("flow", segment.number), ("generator", segment.number)} & hit
        span = f"{first:,} to {first + segment.frames - 1:,}"
        sizes = f"{segment.flow.length:,}", f"{segment.generator.length:,}"
        rows.append((str(segment.number), span, *sizes, "whole" if whole else "damaged"))
        first += segment.frames
    heads = ("segment", "frames", "bytes of the flow", "bytes of the generator", "state")
    left = len(found.segments) - len(rows)
    more = f"<p>{left:,} more are not listed; ncipher info lists all.</p>" if left else ""
    return scrolled(table(heads, rows), "segments") + more


def _attacks(attacked: Summary | None) -> str:
    if attacked is None:
        return f"<p>{escape(_NO_ATTACK)}</p>"
    verdict = attacked.verdict
    partial = " The run was stopped before its end." if attacked.partial else ""
    if attacked.assume_opened:
        side = "The attacks looked behind the outer encryption, as if it did not exist."
    else:
        side = "What needs <g, F> was skipped where the outer encryption hides it."
    return (
        f'<div class="headline {CLASSES[verdict]}"><strong>{escape(verdict.value)}.</strong> '
        f"{escape(HEADLINES[verdict] + partial)}</div>"
        + pairs({"depth": attacked.depth, "seed": str(attacked.seed), "started": attacked.started})
        + f"<p>{escape(side)}</p>"
        + scrolled(summary_table(attacked, kind="wide"), "attacks")
        + f'<div class="box"><h3>What this does not show</h3>{items(NOT_SHOWN)}</div>'
    )
