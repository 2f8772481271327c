"""A claim is measured until it is decided; what was measured stays, and can go on."""

from pathlib import Path

import pytest

from hybrid import resume_benchmark
from hybrid.benchmark import block, run
from hybrid.benchmark.claims import plan_of_claim, run_claim
from hybrid.compare.claims import Claim, judge_claim
from hybrid.errors import InputError
from hybrid.schema import Event, Example, Interrupted, Plan, Probe, Progress, Sampling, Suite, System
from hybrid.store import list_runs, load_run

SUITE = Suite(
    "mine", "translate-en-de", "CC0-1.0",
    tuple(Example(f"e{n}", "d", f"House number {n} is old.", (f"Haus {n} ist alt.",)) for n in range(40)),
)  # fmt: skip
PROBE = Probe(taken_at="2026-11-23T01:45:12+00:00", bandwidth=10e9)


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path / "tmp"))
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    monkeypatch.setattr(block, "take_probe", lambda *_, **__: PROBE)
    monkeypatch.setattr(run, "PROGRESS_EVERY_S", 0.0)


def measured(claim: Claim, events: list[Event], **more: object):
    plan = Plan("mine", engine="torch", sampling=Sampling(5, truncate=True), blocks=1, **more)  # type: ignore[arg-type]
    return run_claim(claim, plan_of_claim(claim, plan), events.append, suite=SUITE)


@pytest.mark.parametrize(("need", "outcome"), [(0.001, "proved"), (1000.0, "refuted")])
def test_a_clear_claim_stops_the_measurement(need: float, outcome: str):
    events: list[Event] = []
    claim = Claim(suite="mine", at_least={"end_to_end": need})
    judged = measured(claim, events)
    assert (judged.outcome, judged.always_valid) == (outcome, True)
    assert judged.n < 40
    assert not any(isinstance(event, Interrupted) for event in events)
    stored = load_run(judged.run_id)
    assert stored.run.plan.systems == ("llm", "hybrid")
    assert len(stored.records) == 2 * judged.n
    assert judge_claim(claim, stored) == judged  # asked again, the run says the same
    finished = resume_benchmark(judged.run_id, suite=SUITE)
    assert finished.finished_at is not None
    assert judge_claim(claim, load_run(judged.run_id)).n == 40


def test_an_open_claim_is_measured_to_the_end_and_scored_meanwhile():
    events: list[Event] = []
    claim = Claim(suite="mine", at_least={"chrf": 0.98}, system=System("slm"))
    judged = measured(claim, events, limit=12)
    assert (judged.outcome, judged.n, judged.always_valid, judged.more) == ("open", 12, True, None)
    assert [event for event in events if isinstance(event, Progress)][-1].done == 24
    assert load_run(judged.run_id).run.finished_at is not None


def test_what_cannot_be_measured_leaves_no_run():
    with pytest.raises(InputError, match="private"):
        measured(Claim(suite="mine", at_least={"quality": 0.98}), [], private=True)
    with pytest.raises(InputError, match="lead-1"):
        measured(Claim(suite="mine", at_least={"quality": 1.0}, baseline=System("lead-1")), [])
    assert list_runs().runs == ()


def test_a_claim_about_a_metric_that_the_task_lacks_is_refused_before_anything_is_measured():
    with pytest.raises(InputError, match="rougeL"):
        measured(Claim(suite="mine", at_least={"rougeL": 0.98}), [])
    assert list_runs().runs == ()


def test_an_interrupt_keeps_what_was_measured():
    events: list[Event] = []

    def interrupting(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress) and event.done > 6:
            raise KeyboardInterrupt

    claim = Claim(suite="mine", at_least={"end_to_end": 0.001})
    plan = Plan("mine", engine="torch", sampling=Sampling(5, truncate=True), blocks=1)
    with pytest.raises(KeyboardInterrupt):
        run_claim(claim, plan_of_claim(claim, plan), interrupting, suite=SUITE)
    assert isinstance(events[-1], Interrupted)
    assert load_run("latest").records
