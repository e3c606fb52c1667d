"""The report as one page: self-contained, without scripts, and closed to the network by its own policy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from neuralcipher.attacks.base import CONTROL_LEVEL, LEVEL, PROPERTIES, Measurement, ThreatModel, Verdict
from neuralcipher.attacks.figures import Figure, Matrix, Pictures
from neuralcipher.attacks.judge import Row, gate, verdict_text
from neuralcipher.attacks.report.markup import document, items, pairs, scrolled
from neuralcipher.attacks.report.record import Finished, plain
from neuralcipher.attacks.report.svg import Whisker, figure_html, forest, number

MODELS: Mapping[ThreatModel, str] = {
    ThreatModel.KNOWN_CIPHERTEXT: "known ciphertext: the bundle alone",
    ThreatModel.KNOWN_PLAINTEXT: "known plaintext: some frames",
    ThreatModel.CHOSEN_PLAINTEXT: "chosen plaintext: videos of the attacker are sealed",
    ThreatModel.STATE_COMPROMISE: "state compromise: one latent",
    ThreatModel.NEAR_KEY: "near or partial key",
    ThreatModel.REUSED_KEY: "one key, several bundles",
    ThreatModel.ACTIVE: "altered files, and many tries",
}

CLASSES = {
    Verdict.BROKEN: "bad",
    Verdict.ERROR: "doubt",
    Verdict.INVALID: "doubt",
    Verdict.INCONCLUSIVE: "doubt",
    Verdict.NOT_BROKEN: "good",
}
_WORST_FIRST = tuple(CLASSES)

HEADLINES = {
    Verdict.BROKEN: "At least one attack broke the target.",
    Verdict.ERROR: "An attack crashed, so the run says less than it was asked to.",
    Verdict.INVALID: "A control failed, so at least one row says nothing.",
    Verdict.INCONCLUSIVE: "At least one attack could not decide at this budget.",
    Verdict.NOT_BROKEN: "No attack of this run broke the target at its budget.",
}

NOT_SHOWN = (
    "That the target is secure. An attack that fails has failed with its method, its budget and its luck; a better one "
    "may exist. There is no verdict for security here.",
    "Statistical tests are necessary and not sufficient: a 32-bit linear congruential generator passes most of NPCR, "
    "UACI, entropy and correlation, and many ciphers with perfect values fell to three chosen images.",
    "Anything about attacks that were not run, were skipped or could not decide (they are listed).",
    "Side channels other than the time of unlocking, faults, the operating system, and how keys are kept.",
    "Other keys, videos, sizes or settings than those named above: independent units are keys, and they are few.",
)

_PAPER_FIGURES = (
    (8, Matrix, "Fig. 4", "distances between the latents of one run: a dark line off the diagonal is a cycle"),
    (2, Pictures, "Fig. 5", "what the weights alone give away of the mean frame"),
    (3, Pictures, "Fig. 6", "what an imposter's key shows"),
)


def page(report: Finished) -> str:
    """The HTML of a report, figures included; it needs no other file and no network."""
    name = str(report.target.get("name", "target"))
    return document(f"Attacks on {name}: {report.verdict.value}", "".join(_body(report, name)))


def _body(report: Finished, name: str) -> Iterator[str]:
    run = [row for row in report.rows if not row.skipped]
    yield _headline(report, name, run)
    yield f"<section><h2>Target and run</h2>{_facts(report)}</section>\n"
    yield f'<section class="box"><h2>What this does not show</h2>{items(NOT_SHOWN)}</section>\n'
    yield f"<section><h2>Properties and threat models</h2>{_matrix(run)}</section>\n"
    yield f"<section><h2>Controls</h2>{_controls(run)}</section>\n"
    yield f"<section><h2>Values and intervals</h2>{_forests(run)}</section>\n"
    figures = _paper_figures(run)
    if figures:
        drawn = f'<div class="figures">{figures}</div>'
        yield f"<section><h2>The figures of the paper, for this target</h2>{drawn}</section>\n"
    yield f"<section><h2>Validity flags</h2>{_flags(run)}</section>\n"
    yield "<section><h2>Attacks</h2>" + "\n".join(_article(row) for row in run) + "</section>\n"
    skipped = [f"{row.info.name}: {row.skipped}" for row in report.rows if row.skipped]
    yield f"<section><h2>Not run</h2>{items(skipped) if skipped else '<p>Every attack had something to work on.</p>'}"
    yield f"</section>\n<section><h2>Again</h2><pre><code>{escape(report.command)}</code></pre>"
    yield "<p>The same seed gives the same draws; times and what depends on them differ from machine to machine.</p>"
    yield "</section>\n"


def _headline(report: Finished, name: str, run: Sequence[Row]) -> str:
    verdict = report.verdict
    worst = [row.info.name for row in run if row.verdict is verdict and not row.known]
    named = f" By: {', '.join(worst)}." if worst and verdict is not Verdict.NOT_BROKEN else ""
    counts = [(kind, sum(row.verdict is kind and not row.known for row in run)) for kind in _WORST_FIRST]
    parts = [f"{count} {kind.value}" for kind, count in counts if count]
    known = sum(row.known and row.verdict is Verdict.BROKEN for row in run)
    parts += [f"{known} broken by design (known, not counted)"] if known else []
    partial = "<p>The run was stopped before its end: rows are missing.</p>" if report.partial else ""
    return (
        f"<header><h1>Attacks on {escape(name)}</h1>"
        f'<div class="headline {CLASSES[verdict]}"><strong>{escape(verdict.value)}.</strong> '
        f"{escape(HEADLINES[verdict] + named)}{partial}</div>"
        f'<p class="soft">{escape("; ".join(parts) or "no attack ran")}. The headline is the worst row.</p></header>\n'
    )


def _facts(report: Finished) -> str:
    settings = report.settings
    budget = "by sample sizes" if settings.budget_s is None else f"{number(settings.budget_s)} s"
    told = {str(key): plain(value) for key, value in report.target.items()}
    target = {key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()}
    facts = {
        "depth": settings.depth,
        "seed": str(settings.seed),
        "budget": budget,
        "device": settings.device,
        "started": report.started,
        "took": f"{number(report.seconds)} s",
        "versions": ", ".join(f"{key} {value}" for key, value in report.versions.items()),
        "levels": f"{LEVEL:g} for the whole suite (Holm), {CONTROL_LEVEL:g} for each control",
    }
    return pairs(target) + pairs(facts)


def _badge(row: Row) -> str:
    known = row.known and row.verdict is Verdict.BROKEN
    text = verdict_text(row.verdict, row.known)
    return f'<span class="badge {"known" if known else CLASSES[row.verdict]}">{escape(text)}</span>'


def _anchor(row: Row) -> str:
    return f"attack-{row.info.name}"


def _matrix(run: Sequence[Row]) -> str:
    """Threat models by properties: in each cell the attacks, with their verdicts."""
    columns = [*PROPERTIES, 0]
    heads = "".join(f'<th scope="col">{p or "other"}</th>' for p in columns)
    lines = []
    for model, words in MODELS.items():
        rows = [row for row in run if model in row.info.threat_models]
        if not rows:
            continue
        cells = "".join(f"<td>{_cell([row for row in rows if _concerns(row, p)])}</td>" for p in columns)
        lines.append(f'<tr><th scope="row" title="{escape(words)}">{escape(model.value)}</th>{cells}</tr>')
    table = f'<table class="narrow"><thead><tr><th></th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    used = [model for model in MODELS if any(model in row.info.threat_models for row in run)]
    key = [f"{prop}: {text}" for prop, text in PROPERTIES.items()]
    key += [f"{model.value}: {MODELS[model]}" for model in used]
    return scrolled(table, "verdicts by threat model and property") + items(key)


def _concerns(row: Row, prop: int) -> bool:
    return prop in row.info.properties if prop else not row.info.properties


def _cell(rows: Sequence[Row]) -> str:
    marks = []
    for row in rows:
        known = row.known and row.verdict is Verdict.BROKEN
        colour = "known" if known else CLASSES[row.verdict]
        said = f"{row.info.name}: {row.verdict.value}" + (", by design" if known else "")
        label = str(row.info.number or row.info.name)
        short = {"bad": "✗", "good": "○", "doubt": "?", "known": "✗"}[colour]
        link = f'<a href="#{_anchor(row)}" title="{escape(said)}">{escape(label)}</a>'
        marks.append(f'<span class="badge {colour}">{link} {short}</span>')
    return " ".join(marks) or '<span class="soft" title="no attack">–</span>'  # noqa: RUF001  (an en dash)


def _controls(run: Sequence[Row]) -> str:
    lines = []
    for row in run:
        failed = gate(row)
        lines.append(
            f'<tr><th scope="row"><a href="#{_anchor(row)}">{escape(row.info.name)}</a></th>'
            f"<td>{escape(row.info.positive)}<br>{_outcome(row.positive, rejected=True)}</td>"
            f"<td>{escape(row.info.negative)}<br>{_outcome(row.negative, rejected=False)}</td>"
            f"<td>{escape(failed or ('valid' if row.positive and row.negative else 'not reached'))}</td></tr>"
        )
    heads = "<th>attack</th><th>must be caught</th><th>must pass</th><th>gate</th>"
    return scrolled(
        f'<table class="wide"><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>', "controls"
    )


def _outcome(measured: Measurement | None, *, rejected: bool) -> str:
    if measured is None:
        return '<span class="badge doubt">not reached</span>'
    right = measured.rejects(CONTROL_LEVEL) is rejected
    word = ("caught" if right else "missed") if rejected else ("passed" if right else "failed")
    p_value = "" if measured.p_value is None else f", p {number(measured.p_value)}"
    value = f"{number(measured.value)} {measured.unit}{p_value}"
    return f'<span class="badge {"good" if right else "bad"}">{word}</span> {escape(value)}'


def _forests(run: Sequence[Row]) -> str:
    """One plot for each unit."""
    units: dict[str, list[Whisker]] = {}
    for row in run:
        if row.target is not None:
            controls = [None if control is None else control.value for control in (row.positive, row.negative)]
            target = row.target
            whisker = Whisker(row.info.title, target.value, target.interval, target.threshold, controls[0], controls[1])
            units.setdefault(target.unit, []).append(whisker)
    if not units:
        return "<p>No attack reached the target.</p>"
    note = (
        "<p>Filled circle: the target, with its interval where it has one. Diamond: the positive control. Square: the "
        "negative control. Upright line: the threshold, where a rule has one.</p>"
    )
    plots = "".join(f"<figure>{forest(unit, whiskers)}</figure>" for unit, whiskers in units.items())
    return note + plots


def _paper_figures(run: Sequence[Row]) -> str:
    found = []
    for attack, kind, title, words in _PAPER_FIGURES:
        figure = _first(run, attack, kind)
        if figure is not None:
            found.append(figure_html(figure).replace("<figcaption>", f"<figcaption><p><b>{title}</b>: {words}</p>", 1))
    return "".join(found)


def _first(run: Sequence[Row], attack: int, kind: type[Figure]) -> Figure | None:
    """The first figure of this kind in the target's row of this number, or its first figure of any kind."""
    figures = [f for row in run if row.info.number == attack and row.target for f in row.target.figures]
    return next((figure for figure in figures if isinstance(figure, kind)), figures[0] if figures else None)


def _flags(run: Sequence[Row]) -> str:
    flags = [f"{row.info.name}: {flag}" for row in run if row.target for flag in row.target.flags]
    flags += [f"{row.info.name}: {gate(row)}" for row in run if gate(row)]
    return items(flags) if flags else "<p>None was raised.</p>"


def _article(row: Row) -> str:
    info, target = row.info, row.target
    head = f'<article id="{_anchor(row)}"><h3>{_numbered(row)} {_badge(row)}</h3>'
    note = f"<p>{escape(target.note)}</p>" if target and target.note else ""
    error = f"<p>The attack crashed: {escape(row.error)}</p>" if row.error else ""
    failed = f"<p>This row says nothing: {escape(gate(row))}.</p>" if gate(row) else ""
    facts = {
        "name": info.name,
        "properties": ", ".join(str(p) for p in info.properties) or "outside the four",
        "threat model": ", ".join(model.value for model in info.threat_models),
        "statistic": info.statistic,
        "null": info.null,
        "rule": info.rule,
    }
    if target is not None:
        facts |= _found(row, target)
    facts["controls"] = f"{info.positive} (must be caught); {info.negative} (must pass)"
    facts["took"] = f"{number(row.seconds)} s"
    figures = "".join(figure_html(figure) for figure in (target.figures if target else ()))
    drawn = f'<div class="figures">{figures}</div>' if figures else ""
    meaning = f"<p><b>If this breaks:</b> {escape(info.failure)}</p>"
    return f"{head}{note}{error}{failed}{meaning}{pairs(facts)}{drawn}{_details(target)}</article>"


def _numbered(row: Row) -> str:
    return escape(f"{row.info.number}. {row.info.title}" if row.info.number else row.info.title)


def _found(row: Row, target: Measurement) -> dict[str, str]:
    interval = ""
    if target.interval is not None:
        low, high = target.interval
        interval = f", {100 * target.confidence:g} % interval {number(low)} to {number(high)}"
    p_value = "" if target.p_value is None else number(target.p_value)
    if p_value and row.adjusted is not None:
        p_value += f" (after Holm over the suite: {number(row.adjusted)})"
    return {
        "value": f"{number(target.value)} {target.unit}{interval}",
        "threshold": "" if target.threshold is None else number(target.threshold),
        "p-value": p_value,
        "samples": f"{target.samples:,}",
        "effort": target.effort,
        "flags": "; ".join(target.flags),
    }


def _details(target: Measurement | None) -> str:
    if target is None or not target.details:
        return ""
    text: Any = json.dumps(plain(target.details), indent=1, ensure_ascii=False)
    return f"<details><summary>details</summary><pre>{escape(text)}</pre></details>"
