"""External batteries: what other people's programs say of the keystream, when they are installed."""

from __future__ import annotations

from typing import Any, ClassVar

from neuralcipher.attacks.base import Info, Measurement, Needs, NotApplicable, ThreatModel, register
from neuralcipher.attacks.figures import Lines
from neuralcipher.attacks.generators import external_tools
from neuralcipher.attacks.generators.battery import keystreams
from neuralcipher.attacks.generators.external_tools import OutOfTime, Reading
from neuralcipher.attacks.planted.lcg_words import lcg_words
from neuralcipher.attacks.planted.subjects import ideal, weak
from neuralcipher.attacks.ranks import holm
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import Subject, generator_of

KEY_BYTES = 1 << 17
"""Of the keystream of each key that goes to the programs."""

_PATIENCE_S = 600.0


@register("external-batteries")
class ExternalBatteries:
    """NIST STS, dieharder, ent, rngtest and PractRand, as far as they are on PATH."""

    info: ClassVar[Info] = Info(
        number=20,
        name="external-batteries",
        title="NIST STS, dieharder, ent, rngtest, PractRand",
        properties=(2,),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.GENERATOR,
        statistic="p-values that the installed programs print, or that follow from the counts they print",
        null="independent uniform bytes; dieharder's and PractRand's p-values are their own approximations",
        rule="the least p-value of all programs after Holm; none installed: nothing is said",
        positive="LCG32 that gives out all of its state; an autoregressive g where rngtest is alone",
        negative="ChaCha20 keystream",
        failure="a program that anybody can install tells the keystream from noise",
        weight=2.0,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        shape = generator_of(subject).shape
        found = {tool.name for tool, _ in _tools()}
        # rngtest's blocks of 2,500 bytes are too short to show that an LCG is too even.
        positive = weak("autoregressive", shape) if found == {"rngtest"} else lcg_words(shape)
        return positive, ideal(shape)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        tools = _tools()
        full = run.settings.is_full
        keys = run.pick(quick=64, full=512)
        data = b"".join(stream.tobytes() for stream in keystreams(target, run, keys, KEY_BYTES))
        seconds = _PATIENCE_S if run.seconds is None else max(1.0, run.seconds)
        readings: list[Reading] = []
        late: list[str] = []
        for number, (tool, path) in enumerate(tools, start=1):
            try:
                if run.out_of_time():
                    raise OutOfTime(f"no time was left for {tool.name}")
                readings += tool.read(path, data, seconds, full)
            except OutOfTime as reason:
                late.append(str(reason))
            run.progress(number / len(tools))
        return _judge(readings, late, keys, [tool.name for tool, _ in tools], len(data))


ALL = external_tools.TOOLS


def _tools() -> list[tuple[external_tools.Tool, str]]:
    found = external_tools.installed()
    if not found:
        names = [f"{tool.name} ({tool.program})" if tool.name != tool.program else tool.name for tool in ALL]
        raise NotApplicable(f"none of {', '.join(names)} is installed")
    return found


def _judge(readings: list[Reading], late: list[str], keys: int, ran: list[str], size: int) -> Measurement:
    absent = [tool.name for tool in ALL if tool.name not in ran]
    missing = f"; not installed: {', '.join(absent)}" if absent else ""
    effort = f"{', '.join(ran)} on {size / 1e6:.1f} MB of keystream, {keys} keys"
    details: dict[str, Any] = {"ran": ran, "absent": absent, "late": late, "bytes": size}
    if not readings:
        return Measurement(
            value=0.0,
            unit="p-values",
            samples=keys,
            p_value=1.0,
            decidable=False,
            effort=effort,
            note="; ".join(["no p-value was read", *late]) + missing,
            details=details,
        )
    adjusted = holm([reading.p_value for reading in readings])
    worst = min(readings, key=lambda reading: reading.p_value)
    details["readings"] = [
        {"tool": r.tool, "test": r.test, "p_value": r.p_value, "said": r.said, "adjusted": a}
        for r, a in zip(readings, adjusted, strict=True)
    ]
    expected = [(place + 0.5) / len(readings) for place in range(len(readings))]
    return Measurement(
        value=min(adjusted),
        unit=f"least p-value of {len(readings)} after Holm",
        samples=keys,
        p_value=min(adjusted),
        decidable=not late,
        effort=effort,
        note=f"{len(readings)} p-values of {', '.join(ran)}; least: {worst.tool}, {worst.test}, p {worst.p_value:.2g} "
        f"({worst.said})" + missing + ("; " + "; ".join(late) if late else ""),
        details=details,
        figures=(
            Lines(
                "p-values of external batteries",
                "ideal",
                "found, sorted",
                {
                    "p-values": (expected, sorted(reading.p_value for reading in readings)),
                    "uniform": ([0.0, 1.0], [0.0, 1.0]),
                },
            ),
        ),
    )
