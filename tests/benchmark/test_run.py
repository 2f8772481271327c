"""A benchmark from Python: what the command gets, with an observer, and texts that no file holds."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest

from hybrid import run_benchmark
from hybrid.benchmark import block
from hybrid.benchmark.plan_options import bench_command
from hybrid.cli import main
from hybrid.errors import PairError, SuiteError
from hybrid.metrics import benchmark_metrics
from hybrid.models.writing import add_pair
from hybrid.presentation.report import redo_command
from hybrid.schema import (
    TASKS,
    Event,
    Example,
    Finished,
    Notice,
    Plan,
    Probe,
    Progress,
    Sampling,
    Started,
    Status,
    Suite,
    System,
)
from hybrid.store import list_runs, load_run
from hybrid.suites import load_suite

README = Path(__file__).parents[2] / "README.md"
SUITE = Suite(
    "mine", "translate-en-de", "CC0-1.0",
    tuple(Example(f"e{n}", "d", f"House number {n} is old.", (f"Haus {n} ist alt.",)) for n in range(3)),
)  # fmt: skip
PLAN = Plan("mine", engine="torch", sampling=Sampling(5, truncate=True), memory=False, blocks=1)
PROBE = Probe(taken_at="2026-11-23T01:45:12+00:00", bandwidth=10e9)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path / "tmp"))
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    monkeypatch.setattr(block, "take_probe", lambda *_, **__: PROBE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_texts_of_ones_own_become_a_stored_run():
    events: list[Event] = []
    run = run_benchmark(PLAN, events.append, suite=SUITE)
    stored = load_run("latest")
    assert stored.run.plan == run.plan
    assert set(stored.run.signatures) == {*benchmark_metrics(TASKS["translate-en-de"])}
    assert {example.id for example in stored.examples} == {"e0", "e1", "e2"}
    assert (run.plan.suite_hash, run.plan.task, run.plan.pair, run.plan.dtype) == (
        SUITE.content_hash, "translate-en-de", "tiny", "float32",
    )  # fmt: skip
    kinds = [type(event) for event in events]
    assert kinds[0] is Status
    assert kinds[-1] is Finished
    assert kinds.index(Started) < kinds.index(Progress)
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.done, last.planned, set(last.speedups)) == (9, 9, {"slm", "hybrid"})


def test_a_suite_of_another_name_or_content_is_refused():
    with pytest.raises(ValueError, match="'other'"):
        run_benchmark(replace(PLAN, suite="other"), suite=SUITE)
    with pytest.raises(SuiteError, match="ab12"):
        run_benchmark(replace(PLAN, suite_hash="ab12"), suite=SUITE)
    assert list_runs().runs == ()


def test_every_line_of_a_report_measures_the_same_again(place: Path):
    """A file with columns of its own, and texts that only Python knew."""
    row = {"a": "The house is old.", "b": "Das Haus ist alt."}
    (place / "x.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    plan = replace(
        PLAN, suite="file:x.jsonl", task="translate-en-de", columns={"source": "a", "reference": "b"}, limit=1
    )
    runs = [run_benchmark(plan), run_benchmark(PLAN, suite=SUITE)]
    for run in runs:
        _, *arguments = shlex.split(redo_command(run))
        main(arguments, standalone_mode=False)
        again = load_run("latest")
        assert again.run.run_id != run.run_id
        before = load_run(run.run_id)
        assert again.run.signatures == before.run.signatures
        assert sorted(again.examples, key=str) == sorted(before.examples, key=str)
        settled = replace(again.run.plan, suite=run.plan.suite, suite_hash=run.plan.suite_hash)
        assert settled == run.plan


def test_a_stored_plan_is_measured_again_from_its_file(place: Path):
    (place / "x.tsv").write_text("d\tThe house is old.\tDas Haus ist alt.\n", "utf-8")
    run = run_benchmark(replace(PLAN, suite="file:x.tsv", task="translate-en-de"))
    path = place / "results" / run.run_id / "run.json"
    main(["bench", "--plan", str(path)], standalone_mode=False)
    assert load_run("latest").run.plan == run.plan
    (place / "x.tsv").write_text("d\tThe house is new.\tDas Haus ist neu.\n", "utf-8")
    with pytest.raises(
        click.ClickException, match=load_suite("file:x.tsv", "translate-en-de").content_hash[:12]
    ):
        main(["bench", "--plan", str(path)], standalone_mode=False)


def test_a_run_of_before_suites_had_versions_is_measured_again_on_its_texts(place: Path):
    run = run_benchmark(replace(PLAN, suite="everyday-en-de@1", limit=1))
    row = json.loads((place / "results" / run.run_id / "run.json").read_text("utf-8"))
    row["plan"]["suite"] = "everyday-en-de"
    (place / "before.json").write_text(json.dumps(row), "utf-8")
    main(["bench", "--plan", "before.json"], standalone_mode=False)
    again = load_run("latest")
    assert again.run.plan == run.plan
    assert again.examples == load_run(run.run_id).examples
    newest = run_benchmark(replace(PLAN, suite="everyday-en-de", limit=1))
    assert newest.plan.suite == "everyday-en-de@2"


def test_the_readmes_script_prints_a_verdict_for_each_system(place: Path):
    """It has no main guard, its suite is in its memory only, and torch is in its two processes alone."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (script,) = (block for block in blocks if "run_benchmark" in block)
    script = script.replace("Plan(suite.name)", "Plan(suite.name, blocks=2, memory=False)")
    paths = os.pathsep.join([str(README.parent), *sys.path])
    environment = os.environ | {"HYBRID_RUNTIME": str(place / "tmp"), "PYTHONPATH": paths}
    command = [sys.executable, "-c", f"{script}\nimport sys; assert 'torch' not in sys.modules"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=place, check=False)
    assert done.returncode == 0, done.stderr
    verdicts = done.stdout.splitlines()
    assert [line.split()[0] for line in verdicts] == ["LLM", "SLM", "Hybrid"]
    assert "baseline" in verdicts[0]
    assert all("BLEU" in line for line in verdicts)
    stored = load_run("latest")
    assert stored.run.planned == 15
    assert [record.block for record in stored.records] == [0] * 9 + [1] * 6
    assert [probe.records_before for probe in stored.run.probes] == [0, 9, 9, 15]
    assert "my-sentences" in bench_command(load_run("latest").run.plan)


@pytest.fixture
def untrained(place: Path, tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pair whose hybrid does not exist yet."""
    monkeypatch.setenv("HYBRID_ZOO", str(shutil.copytree(tiny_zoo, place / "zoo")))
    return add_pair("untrained", "tiny/llm", "tiny/slm").name


def test_a_pair_without_a_hybrid_is_measured_without_it(untrained: str):
    events: list[Event] = []
    run = run_benchmark(replace(PLAN, pair=untrained), events.append, suite=SUITE)
    assert run.plan.systems == ("llm", "slm")
    how = "The hybrid of untrained does not exist yet: `hybrid train RECIPE` makes it"
    assert [event for event in events if isinstance(event, Notice) and event.sentence.startswith(how)]
    texts = {(r.generation.system, r.example_id): r.generation.text for r in load_run("latest").records}
    run_benchmark(replace(PLAN, systems=run.plan.systems), suite=SUITE)  # the same models by themselves
    again = {(r.generation.system, r.example_id): r.generation.text for r in load_run("latest").records}
    assert texts == again


def test_a_hybrid_that_does_not_exist_is_not_measured(untrained: str):
    with pytest.raises(PairError, match=r"`hybrid train RECIPE` makes it.* its llm and slm\.$"):
        run_benchmark(replace(PLAN, pair=untrained, systems=(System("hybrid"),)), suite=SUITE)
