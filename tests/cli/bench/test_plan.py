"""`hybrid bench --plan` measures a plan that somebody has written, and `--events` tells what happens."""

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid.benchmark.jobs.folder import read_events
from hybrid.benchmark.plans import encode_plan
from hybrid.measuring.probes import busy_reasons
from hybrid.schema import (
    SYSTEMS,
    Event,
    Failed,
    Finished,
    Interrupted,
    Memory,
    Plan,
    Progress,
    Sampling,
    Started,
    System,
)

PLAN = Plan(
    "file:suite.tsv", task="translate-en-de", engine="torch", limit=2, sampling=Sampling(6, truncate=True),
    blocks=1,
)  # fmt: skip


def events(bench: Any) -> list[Event]:
    return read_events(bench.folder / "events.jsonl")[0]


def test_a_file_says_all_that_is_measured(bench):
    (bench.folder / "plan.toml").write_text(
        'suite = "file:suite.tsv"\ntask = "translate-en-de"\nengine = "torch"\nlimit = 2\nblocks = 1\n'
        'systems = ["slm"]\nmemory = false\n[sampling]\nmax_new_tokens = 6\n'
    )
    stored = bench.stored(bench.run("--plan", "plan.toml"))
    assert (stored.run.plan.systems, stored.run.memory) == ((System("slm"),), {})
    assert {len(record.generation.token_ids) <= 6 for record in stored.records} == {True}


def test_standard_input_is_a_plan_too(bench):
    result = bench.invoke("bench", "--plan", "-", standard_input=encode_plan(PLAN))
    stored = bench.stored(result)
    assert stored.run.plan.systems == SYSTEMS
    assert stored.run.memory == dict.fromkeys(SYSTEMS, Memory(resident=2, before_model=1))


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("--limit", "3"), "--limit"),
        (("--no-memory",), "--memory"),
        (("--resume", "latest"), "--plan"),
    ],
)
def test_nothing_of_a_plan_is_said_beside_it(bench, arguments: tuple[str, ...], value: str):
    assert value in bench.failed(bench.run("--plan", "plan.json", *arguments), exit_code=2)


@pytest.mark.parametrize("text", ["{", '{"suite": "x", "speed": 3}', '{"schema": 2, "plan": {}}'])
def test_a_file_that_is_no_plan_is_one_sentence(bench, text: str):
    Path("plan.json").write_text(text)
    message = bench.failed(bench.run("--plan", "plan.json"))
    assert message.startswith("error: plan.json ")
    assert message.count("\n") == 1


# events


def test_events_tell_of_a_run_from_begin_to_end(bench):
    run = bench.stored(bench.measure("--limit", "2", "--events", "events.jsonl")).run
    log = events(bench)
    assert [event for event in log if isinstance(event, Started)] == [
        Started(run_id=run.run_id, title="file:suite.tsv", planned=6)
    ]
    assert [event.done for event in log if isinstance(event, Progress)][-1] == 6
    assert log[-1] == Finished(run_id=run.run_id, busy=busy_reasons(run) or ())


def test_events_tell_of_a_run_that_is_kept(bench, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        bench.stop_after(2, patched)
        run = bench.stored(bench.measure("--limit", "2", "--events", "events.jsonl"), exit_code=143).run
    assert events(bench)[-1] == Interrupted(run_id=run.run_id, done=2, planned=6)
    bench.stored(bench.run("--resume", run.run_id, "--events", "events.jsonl"))
    assert [event.done for event in events(bench) if isinstance(event, Started)] == [0, 2]


def test_a_failure_is_an_event_in_the_words_of_the_command(bench):
    message = bench.failed(bench.run("file:none.tsv", "--task", "summarize", "--events", "events.jsonl"))
    (event,) = [event for event in events(bench) if isinstance(event, Failed)]
    assert event.error == "SuiteError"
    assert message == f"error: {event.sentence}\n"


def test_a_bug_is_an_event_too(bench, monkeypatch: pytest.MonkeyPatch):
    bench.stop_after(2, monkeypatch, ZeroDivisionError("a bug"))
    result = bench.measure("--limit", "2", "--events", "events.jsonl")
    assert isinstance(result.exception, ZeroDivisionError)
    assert events(bench)[-1].error == "ZeroDivisionError"


def test_lines_are_json_with_the_kind_of_event(bench):
    bench.measure("--limit", "1", "--events", "events.jsonl")
    rows = [json.loads(line) for line in (bench.folder / "events.jsonl").read_text("utf-8").splitlines()]
    assert {"Status", "Started", "Progress", "Finished"} <= {row["event"] for row in rows}


def test_events_that_cannot_be_written_are_one_sentence(bench):
    assert "nowhere" in bench.failed(bench.measure("--events", "nowhere/events.jsonl"))
