"""What nothing can have measured is damage of its line, what no run can be is damage of that run alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.metrics import METRICS, Case
from hybrid.schema import STATISTICS, Record, Run, Timing
from hybrid.store import StoredRun, Writer, list_runs, load_run
from hybrid.store.checks import check_record, check_run, seal, unsound

END = "2026-11-23T02:00:00+00:00"
BLEU = [5, 5, 4, 3, 2, 1, 5, 4, 3, 2]
HUGE = 10**400


@pytest.fixture
def folder(fake: StoredRun, started: Callable[..., Writer], tmp_path: Path) -> Path:
    """A complete run beside another one."""
    for run_id in ("good", "bad"):
        fake = replace(fake, run=replace(fake.run, run_id=run_id))
        with started(fake, tmp_path, len(fake.records)) as writer:
            writer.finish({}, END)
    return tmp_path / "bad"


def rewritten(data: bytes, path: str, value: object, indented: bool = False) -> bytes:
    """JSON with another value at a place, and a checksum that fits."""
    row = json.loads(data)
    row.pop("crc32", None)
    *outer, name = path.split(".")
    inner = row
    for part in outer:
        inner = inner[part]
    inner[name] = value
    return seal(json.dumps(row, indent=1 if indented else None).encode(), indented)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("phases_us.decode", -1, r"phases_us"),
        ("token_us", [1, 3, 2, 4, 5], "its token times decrease, or begin before"),
        ("token_us", [1, 2, 3, 4, 10**7], "its last token came after 10.000000 s and all took"),
        ("token_us", [1, 2, 3, 4, HUGE], "out of range"),
        ("started_at", "yesterday", "yesterday"),
        ("started_at", "0001-01-01T00:00:00", "no time of a measurement"),
        ("batch", 9, "batch is 9 and position 0"),
        ("position", 10**6, "position 1000000, and the run plans 9 records"),
        ("repeat", 1, "repeat is 1 and the run has 1"),
        ("statistics.bleu", [*BLEU[:9], HUGE], "out of range"),
        ("statistics.length", [1, -1], "statistics"),
    ],
)
def test_what_nothing_can_have_measured_is_damage_of_its_line(
    folder: Path, fake: StoredRun, path: str, value: object, reason: str
) -> None:
    records = folder / "records.jsonl"
    first, rest = records.read_bytes().split(b"\n", 1)
    records.write_bytes(rewritten(first, path, value) + rest)
    loaded = load_run("bad", folder.parent)
    assert loaded.records == fake.records[1:]
    assert loaded.problems[0].startswith(f"{records}, line 1, is damaged and left out: ")
    assert reason in loaded.problems[0]


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("bleu", [*BLEU[:2], 6, *BLEU[3:]]),
        ("bleu", BLEU[:9]),
        ("bleu", []),
        ("chrf", [4, 2, 3] * 6),
        ("rougeL", [1.5]),
        ("repetition", [3, 2]),
        ("length", [1, 2, 3]),
    ],
)
def test_statistics_that_no_answer_has_are_left_out(
    folder: Path, fake: StoredRun, metric: str, values: list[float]
) -> None:
    """The answer stays: its times are as they were, and it can be scored again."""
    records = folder / "records.jsonl"
    first, rest = records.read_bytes().split(b"\n", 1)
    records.write_bytes(rewritten(first, f"statistics.{metric}", values) + rest)
    loaded = load_run("bad", folder.parent)
    statistics = {name: row for name, row in fake.records[0].statistics.items() if name != metric}
    assert loaded.records == (replace(fake.records[0], statistics=statistics), *fake.records[1:])
    (problem,) = loaded.problems
    assert f"statistics of {metric} that no answer has are left out, of 1 answers" in problem


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("memory_bandwidth", HUGE, "memory_bandwidth"),
        ("memory_bandwidth", -1.0, "memory_bandwidth is -1, not 0"),
        ("environment.cpu_count", -1, "environment.cpu_count is -1"),
        ("environment.memory_bytes", 2**60, "environment.memory_bytes"),
        ("max_prompt_tokens", HUGE, "max_prompt_tokens"),
        ("plan.systems", [f"llm@e{n}" for n in range(30_000)], "plan.systems has 30,000 entries"),
        ("plan.systems", [f"llm@e{n}" for n in range(101)], "plan.systems are 101 and 100 are the most"),
        ("plan.repeats", 2, "planned is 9, no multiple of 3 systems x 2 repeats"),
        ("plan.repeats", HUGE, "plan.repeats"),
        ("planned", 0, "planned is 0, no multiple"),
        ("planned", -9, "planned is -9"),
        ("plan.suite", "x" * 20_000, "plan.suite has 20,000 characters and 10,000 are the most"),
        ("signatures", {f"m{n}": "" for n in range(30_000)}, "signatures has 30,000 entries"),
        ("created_at", "tomorrow", "tomorrow"),
        ("finished_at", "", "finished_at"),
        ("memory", {"llm": {"resident": -5, "before_model": 1}}, "is -5"),
    ],
)
def test_what_no_run_can_be_is_damage_of_that_run_alone(
    folder: Path, path: str, value: object, reason: str
) -> None:
    run = folder / "run.json"
    run.write_bytes(rewritten(run.read_bytes(), path, value, indented=True))
    listing = list_runs(folder.parent)
    assert [summary.run.run_id for summary in listing.runs] == ["good"]
    assert listing.damaged == ("bad",)
    assert reason in listing.problems[0]
    with pytest.raises(StoreError, match=r"run\.json cannot be read"):
        load_run("bad", folder.parent)
    files = {name: (folder / name).read_bytes() for name in ("run.json", "examples.jsonl", "records.jsonl")}
    with pytest.raises(StoreError, match="The run is not imported"):
        store.import_run(files, folder.parent)
    store.delete_run("bad", folder.parent)
    assert list_runs(folder.parent).problems == ()


def test_half_a_surrogate_pair_in_a_name_is_spelled_out(folder: Path) -> None:
    path = folder / "run.json"
    row = json.loads(path.read_bytes())
    row["plan"]["suite"], row["environment"]["packages"]["\udc80"] = "a\ud800", "\udfff"
    path.write_text(json.dumps(row))
    run = load_run("bad", folder.parent).run
    assert run.plan.suite == "a\\ud800"
    assert run.environment.packages["\\udc80"] == "\\udfff"


@pytest.mark.parametrize("line", [b"[" * 100_000, b"x" * (5 * 2**20), b'{"a":' * 5000, b"\xff" * 100])
@pytest.mark.parametrize("name", ["records.jsonl", "examples.jsonl"])
def test_a_line_of_any_kind_hides_no_other(folder: Path, fake: StoredRun, name: str, line: bytes) -> None:
    path = folder / name
    path.write_bytes(line + b"\n" + path.read_bytes())
    loaded = load_run("bad", folder.parent)
    assert (loaded.examples, loaded.records) == (fake.examples, fake.records)
    assert loaded.problems
    assert max(map(len, loaded.problems)) < 1000


def test_the_writer_refuses_what_nothing_can_have_measured(fake: StoredRun, tmp_path: Path) -> None:
    first = fake.records[0]
    timing = Timing(first.generation.timing.phases, (0.5, 0.4))
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        for wrong in (
            replace(first, generation=replace(first.generation, timing=timing)),
            replace(first, started_at=""),
        ):
            with pytest.raises(ValueError, match=r"decrease|started_at"):
                writer.append([wrong])


def test_times_may_differ_from_their_sum_by_what_rounding_takes(fake: StoredRun) -> None:
    first = fake.records[0]
    total = first.generation.timing.total_s

    def ending(after_s: float) -> Record:
        times = (0.0, total + after_s)
        timing = Timing(first.generation.timing.phases, times)
        return replace(first, generation=replace(first.generation, timing=timing))

    known = {example.id for example in fake.examples}
    check_record(ending(1e-6), fake.run, known)
    with pytest.raises(ValueError, match="its last token came after"):
        check_record(ending(4e-6), fake.run, known)


def test_the_shapes_are_those_of_the_metrics() -> None:
    assert {name: shape.width for name, shape in STATISTICS.items()} == {
        name: metric.width for name, metric in METRICS.items()
    }


@pytest.mark.parametrize(
    "answer", ["", "a", "a b c d e f g", "the cat the cat the cat", "x " * 200, "ß\u0301 ."]
)
@pytest.mark.parametrize("references", [["the cat sat"], ["a", "the cat the"], ["x"]])
def test_every_answer_has_sound_statistics(answer: str, references: list[str]) -> None:
    for name, metric in METRICS.items():
        row = metric.statistics(Case(answer, references, "source"))
        assert STATISTICS[name].holds(row), (name, row)
        assert STATISTICS[name].all_hold([row, row]), (name, row)


@pytest.mark.parametrize(
    ("metric", "row"),
    [("bleu", BLEU[:-1]), ("chrf", [4, 2, 3] * 6), ("rouge1", [1.1]), ("repetition", [2, 1])],
)
def test_columns_are_checked_as_rows_are(metric: str, row: list[float]) -> None:
    assert unsound({metric: row, "not-known": row}) == [metric]
    assert not STATISTICS[metric].all_hold([row])
    assert STATISTICS[metric].all_hold([])


def test_a_seed_may_be_negative_and_nothing_else(fake: StoredRun) -> None:
    def planned(**changes: Any) -> Run:
        return replace(fake.run, plan=replace(fake.run.plan, **changes))

    check_run(planned(seed=-5))
    with pytest.raises(ValueError, match=r"plan\.seed"):
        check_run(planned(seed=2**70))


def test_no_run_is_begun_that_nobody_could_read_again(fake: StoredRun, tmp_path: Path) -> None:
    plan = replace(fake.run.plan, repeats=HUGE)
    with pytest.raises(StoreError, match=r"No such run can be stored: plan\.repeats is beyond all bounds"):
        store.create(replace(fake.run, plan=plan), fake.examples, tmp_path)
    assert list(tmp_path.iterdir()) == []
