"""What runs the attacks and judges them: controls, verdicts, processes, crashes, interruption, resuming."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fakes
import numpy as np
import pytest

from neuralcipher.attacks.base import LEVEL, Attack, Measurement, Verdict
from neuralcipher.attacks.engine import Report, Stopped, run_suite
from neuralcipher.attacks.figures import Figure, Histogram, Lines, Matrix, Pictures
from neuralcipher.attacks.judge import Row, settle
from neuralcipher.attacks.report.record import figure_from_dict, figure_to_dict
from neuralcipher.attacks.resume import Journal
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.targets import GeneratorTarget
from neuralcipher.errors import UsageError

SHAPE = (1, 16, 16)
WEAK = GeneratorTarget("weak-identity", SHAPE)
GOOD = GeneratorTarget("chacha20", SHAPE)


def run(target: GeneratorTarget, *kinds: type[Attack], jobs: int = 1, journal: Journal | None = None) -> Report:
    return run_suite(target, attacks=kinds, jobs=jobs, journal=journal)


@pytest.mark.parametrize(
    ("target", "kind", "verdict"),
    [
        (WEAK, fakes.Stays, Verdict.BROKEN),
        (GOOD, fakes.Stays, Verdict.NOT_BROKEN),
        (GOOD, fakes.Blind, Verdict.INVALID),
        (GOOD, fakes.Alarmist, Verdict.INVALID),
        (WEAK, fakes.Alarmist, Verdict.INVALID),
        (GOOD, fakes.Weak, Verdict.INCONCLUSIVE),
        (GOOD, fakes.Crashes, Verdict.ERROR),
    ],
)
def test_verdicts(target: GeneratorTarget, kind: type[Attack], verdict: Verdict) -> None:
    report = run(target, kind)
    assert [row.verdict for row in report.rows] == [verdict]
    assert report.verdict is verdict


def test_the_headline_is_the_worst_row_without_breaks_by_design() -> None:
    report = run(GOOD, fakes.Stays, fakes.Design, fakes.Nothing)
    assert [row.verdict for row in report.rows] == [Verdict.NOT_BROKEN, Verdict.BROKEN, Verdict.INCONCLUSIVE]
    assert report.rows[2].skipped == "there is nothing here"
    assert report.verdict is Verdict.NOT_BROKEN
    assert run(GOOD, fakes.Stays, fakes.Crashes, fakes.Weak).verdict is Verdict.ERROR
    assert run(WEAK, fakes.Stays, fakes.Crashes).verdict is Verdict.BROKEN
    assert run(GOOD, fakes.Nothing).verdict is Verdict.INCONCLUSIVE
    assert run(GOOD, fakes.Design, fakes.Nothing).verdict is Verdict.BROKEN  # there is nothing else to say


def test_a_generator_alone_has_no_pair() -> None:
    (row,) = run(GOOD, fakes.OfPairs).rows
    assert "generator alone" in row.skipped


def test_a_crash_is_a_row_that_shows_no_values() -> None:
    (row,) = run(GOOD, fakes.Crashes).rows
    assert row.error.startswith("RuntimeError: a bug at measure")


def test_holm_over_the_rows() -> None:
    """Hand calculation: .0004 among two p-values is adjusted to .0008, among three to .0012, which is above .001."""
    strong, weak = Measurement(1.0, "", 1, p_value=1e-9), Measurement(0.0, "", 1, p_value=0.5)

    def row(name: str, p_value: float) -> Row:
        target = Measurement(0.0, "", 1, p_value=p_value)
        return Row(fakes.info(name), Verdict.ERROR, 0.0, strong, weak, target)

    assert LEVEL == 0.001
    two = settle([row("a", 0.0004), row("b", 0.3)])
    assert [r.verdict for r in two] == [Verdict.BROKEN, Verdict.NOT_BROKEN]
    assert two[0].adjusted == pytest.approx(0.0008)
    three = settle([row("a", 0.0004), row("b", 0.3), row("c", 0.4)])
    assert [r.verdict for r in three] == [Verdict.NOT_BROKEN] * 3
    assert three[0].adjusted == pytest.approx(0.0012)


def test_an_invalid_row_takes_no_part_in_holm() -> None:
    weak = Measurement(0.0, "", 1, p_value=0.5)
    blind = Row(fakes.info("blind"), Verdict.ERROR, 0.0, weak, weak, weak)
    strong = Measurement(1.0, "", 1, p_value=1e-9)
    edge = Row(fakes.info("edge"), Verdict.ERROR, 0.0, strong, weak, Measurement(1.0, "", 1, p_value=0.001))
    assert [row.verdict for row in settle([blind, edge])] == [Verdict.INVALID, Verdict.BROKEN]


def test_processes_give_the_same_and_a_death_costs_one_row() -> None:
    alone = run(GOOD, fakes.Stays, fakes.Design)
    many = run(GOOD, fakes.Stays, fakes.Dies, fakes.Design, jobs=2)
    assert [row.verdict for row in many.rows] == [Verdict.NOT_BROKEN, Verdict.ERROR, Verdict.BROKEN]
    assert "exit code 7" in many.rows[1].error
    assert [many.rows[0].target, many.rows[2].target] == [row.target for row in alone.rows]


def test_roles_and_seeds_draw_differently() -> None:
    first = Run(Settings(seed=1), "a").draw("x").integers(2**60)
    assert first == Run(Settings(seed=1), "a").draw("x").integers(2**60)
    for other in (Run(Settings(seed=2), "a"), Run(Settings(seed=1), "b"), Run(Settings(seed=1), "a", "positive")):
        assert first != other.draw("x").integers(2**60)
        assert Run(Settings(seed=1), "a").key_bytes("k", 0) != other.key_bytes("k", 0)


def test_an_interruption_keeps_what_was_finished() -> None:
    with pytest.raises(Stopped) as caught:
        run(GOOD, fakes.Stays, fakes.Interrupts, fakes.Design)
    assert caught.value.report.partial
    assert [row.info.name for row in caught.value.report.rows] == ["stays"]


def test_resuming_runs_only_what_is_missing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    with pytest.raises(Stopped):
        run(GOOD, fakes.Stays, fakes.Interrupts, journal=journal)
    (path,) = (tmp_path / "run").iterdir()
    kept = path.read_text().replace('"value": ', '"value": 7')  # so that a row that is given back shows
    path.write_text(kept + '{"torn')
    report = run(GOOD, fakes.Stays, fakes.Design, journal=journal)
    assert [row.info.name for row in report.rows] == ["stays", "design"]
    assert report.rows[0].target is not None
    assert report.rows[0].target.value > 7
    assert run(WEAK, fakes.Stays, journal=journal).verdict is Verdict.BROKEN  # another target: another file
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_a_row_that_crashed_is_run_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert run(GOOD, fakes.Crashes, journal=journal).rows[0].verdict is Verdict.ERROR
    assert run(GOOD, fakes.Crashes, journal=journal).rows[0].verdict is Verdict.ERROR
    (path,) = tmp_path.iterdir()
    assert path.read_text().count("\n") == 2


def test_figures_come_back() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    figures: list[Figure] = [
        Lines("a", "x", "y", {"s": ([1.0, 2.0], [3.0, 4.0])}, {"mark": 2.0}, log_x=True),
        Histogram("b", "x", [1.0, 2.0], {"seen": 3.0}),
        Matrix("c", "x", "y", np.eye(2), 0.0, 1.0),
        Pictures("d", [[("truth", picture)]]),
    ]
    for figure in figures:
        fields = figure_to_dict(figure)
        back = figure_from_dict(fields)
        assert type(back) is type(figure)
        assert figure_to_dict(back) == fields
    shown = figure_from_dict(figure_to_dict(figures[3]))
    assert isinstance(shown, Pictures)
    np.testing.assert_array_equal(shown.rows[0][0][1], picture)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (GeneratorTarget("feistl"), "no generator is called 'feistl'"),
        (GeneratorTarget("weak-nothing"), "no planted generator"),
        (GeneratorTarget("feistel", options={"turns": 2}), "no option 'turns'"),
        (GeneratorTarget("feistel", options={"rounds": 0}), "1 to 64 rounds"),
        (GeneratorTarget("chacha20", options={"rounds": 2}), "has no options"),
        (GeneratorTarget("weak-lcg32", options={"rounds": 2}), "has no options"),
    ],
)
def test_targets_that_cannot_be(target: GeneratorTarget, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        target.check()


def test_a_prepared_target_is_the_same_generator(tmp_path: Path) -> None:
    for name in ("feistel", "chacha20", "weak-lcg32"):
        target = GeneratorTarget(name, SHAPE)
        prepared = target.prepare()
        assert dataclasses.replace(prepared, stored=None) == target
        made = [t.subject(fakes.Stays.info.needs, Settings(), tmp_path) for t in (target, prepared)]
        keys = [bytes([i]) * 32 for i in range(2)]
        one, two = [subject.after(subject.starts(keys)) for subject in made]  # type: ignore[union-attr]
        assert (one == two).all()


@pytest.mark.parametrize("fields", [{"depth": "deep"}, {"budget_s": 0.0}, {"budget_s": float("nan")}, {"seed": -1}])
def test_settings_that_cannot_be(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Settings(**fields)  # type: ignore[arg-type]
