"""`hybrid bench`: a stored run with its id as the last line, and every refusal in one sentence."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest

from hybrid.benchmark import run as use_case
from hybrid.benchmark.schedule import select_examples
from hybrid.cli import console
from hybrid.errors import EngineError, StoreError
from hybrid.measuring.lock import measuring
from hybrid.metrics import benchmark_metrics
from hybrid.schema import SYSTEMS, TASKS, Memory, Plan
from hybrid.store import list_runs
from hybrid.suites import load_suite
from tests.cli.bench.conftest import PROBE

# a run


def test_a_run_is_stored_with_its_plan_and_its_conditions(bench, tiny_bundle):
    result = bench.measure("--limit", "5", "--batch-size", "2", "--repeats", "2", "--seed", "7")
    stored = bench.stored(result)
    plan = stored.run.plan
    assert stored.run.finished_at is not None
    assert (plan.suite, plan.task, plan.pair, plan.systems) == (
        "file:suite.tsv",
        "translate-en-de",
        "tiny",
        SYSTEMS,
    )
    assert (plan.engine, plan.device, plan.dtype, plan.threads) == ("torch", "cpu", "float32", 1)
    assert (plan.limit, plan.batch_size, plan.repeats, plan.seed) == (5, 2, 2, 7)
    assert (plan.sampling.max_new_tokens, plan.sampling.ignore_eos, plan.sampling.truncate) == (
        6,
        False,
        True,
    )
    suite = load_suite("file:suite.tsv", "translate-en-de")
    assert plan.suite_hash == suite.content_hash
    assert stored.examples == select_examples(plan, suite)
    assert len(stored.records) == stored.run.planned == 5 * 2 * 3
    assert (
        set(stored.run.signatures)
        == set(stored.records[0].statistics)
        == {*benchmark_metrics(TASKS["translate-en-de"])}
    )
    assert stored.run.memory == dict.fromkeys(SYSTEMS, Memory(resident=2, before_model=1))
    assert stored.run.max_prompt_tokens == tiny_bundle.max_prompt_tokens == 160
    assert stored.run.resumptions == ()
    assert len(stored.run.environment.weights_sha256) == 64
    assert "30/30" in result.stderr
    assert "All 30 answers are stored. Speed-up over the LLM, end to end: hybrid " in result.stderr


def test_the_options_reach_the_plan(bench):
    options = [
        "--pair",
        "tiny",
        "--engine",
        "torch",
        "--dtype",
        "bfloat16",
        "--threads",
        "2",
        "--no-memory",
        "--limit",
        "1",
    ]
    stored = bench.stored(bench.measure("--systems", "hybrid, llm", *options))
    plan = stored.run.plan
    assert (plan.systems, plan.dtype, plan.threads) == (("llm", "hybrid"), "bfloat16", 2)
    assert stored.run.memory == {}


def test_fixed_length_runs_have_times_but_no_quality(bench):
    result = bench.run(
        "file:suite.tsv", "--task", "translate-en-de", "--fixed-length", "9", "--limit", "2", "--blocks", "1"
    )
    stored = bench.stored(result)
    assert {len(r.generation.token_ids) for r in stored.records} == {9}
    assert {len(r.statistics) for r in stored.records} == {0}
    assert stored.run.signatures == {}


def test_columns_are_named(bench):
    (bench.folder / "other.tsv").write_text("en\tde\nThe house is old.\tDas Haus ist alt.\n", "utf-8")
    arguments = ["--task", "translate-en-de", "--columns", "source=en,reference=de", "--max-new-tokens", "4"]
    stored = bench.stored(bench.run("file:other.tsv", *arguments))
    assert stored.examples[0].references == ("Das Haus ist alt.",)


def test_one_system_alone_has_no_speedup(bench):
    result = bench.measure("--systems", "slm", "--limit", "2")
    assert "speed-up" not in result.stderr.lower()
    assert "All 2 answers are stored. `hybrid compare` says more." in result.stderr


def test_a_limit_beyond_the_suite_takes_all_with_a_notice(bench):
    result = bench.measure("--limit", "100", "--systems", "slm")
    assert "notice: The suite has 8 examples, fewer than --limit 100: all are taken.\n" in result.stderr
    assert len(bench.stored(result).records) == 8


def test_memory_that_cannot_be_measured_does_not_lose_the_run(bench, monkeypatch):
    def peak(_: Plan, system: str, __: object) -> Memory:
        if system == "llm":
            raise EngineError("The memory of llm was not measured: exit code -9")
        return Memory(resident=2, before_model=1)

    monkeypatch.setattr(use_case, "peak_memory", peak)
    result = bench.measure("--limit", "1")
    assert "notice: The memory of llm was not measured: exit code -9\n" in result.stderr
    assert set(bench.stored(result).run.memory) == {"slm", "hybrid"}


# one measurement at a time


def test_a_second_measurement_says_who_holds_the_machine(bench):
    with measuring("20261123-014512-briefs-en-3f9c", "briefs-en"):
        message = bench.failed(bench.measure())
    assert f"process {os.getpid()}, run 20261123-014512-briefs-en-3f9c of briefs-en, since 20" in message
    assert "--wait SECONDS" in message
    assert list_runs().runs == ()
    bench.stored(bench.measure("--limit", "1", "--systems", "slm"))


def test_a_second_measurement_waits_when_told(bench, monkeypatch):
    held, released = threading.Event(), threading.Event()

    def other() -> None:
        with measuring("other", "briefs-en"):
            held.set()
            released.wait(100)

    thread = threading.Thread(target=other)
    thread.start()
    assert held.wait(60)
    say = console.say

    def said(line: str) -> None:
        say(line)
        if line.startswith("Waiting."):
            released.set()

    monkeypatch.setattr(console, "say", said)
    result = bench.measure("--limit", "1", "--systems", "slm", "--wait", "100")
    thread.join()
    assert result.stderr.count("Waiting. Another measurement is running on this machine: process ") == 1
    bench.stored(result)


# bad input


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Missing argument 'SUITE'"),
        (("x", "--systems", "llm,gpt"), "there is no system 'gpt'; available: llm, slm, hybrid"),
        (("x", "--systems", ","), "no system is named; available: llm, slm, hybrid"),
        (("x", "--engine", "abacus"), "'abacus' is not one of 'auto', 'torch', 'onnx'"),
        (("x", "--systems", "llm@abacus"), "there is no engine 'abacus'; available: torch, onnx"),
        (("x", "--engine-option", "int8_encoder"), "'int8_encoder' is not like NAME=VALUE"),
        (("x", "--device", "tpu"), "there is no device 'tpu'; available: cpu, cuda, cuda:N"),
        (("x", "--device", "cuda:"), "there is no device 'cuda:'; available: cpu, cuda, cuda:N"),
        (("x", "--dtype", "int3"), "'int3' is not one of 'float32', 'bfloat16'"),
        (("x", "--limit", "0"), "0 is not in the range"),
        (("x", "--wait", "-1"), "-1.0 is not in the range"),
        (("x", "--wait", "nan"), "nan is not a finite number"),
        (("x", "--columns", "source"), "'source' is not like source=NAME,reference=NAME"),
        (("x", "--fixed-length", "4", "--max-new-tokens", "4"), "exclude each other"),
    ],
)
def test_wrong_usage_is_exit_code_2(bench, arguments, sentence):
    assert sentence in bench.failed(bench.run(*arguments), exit_code=2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere",), "There is no suite 'nowhere'"),
        (("file:suite.tsv",), "does not say its task"),
        (("file:empty.tsv", "--task", "summarize"), "empty.tsv is empty"),
        (
            ("file:suite.tsv", "--task", "summarize", "--pair", "huge"),
            "There is no pair 'huge'; available: tiny.",
        ),
        (
            (
                "file:suite.tsv",
                "--task",
                "summarize",
                "--device",
                "cuda:99",
                "--engine",
                "torch",
                "--blocks",
                "1",
            ),
            "Device 'cuda:99' cannot be used here",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_no_run(bench, arguments, sentence):
    (bench.folder / "empty.tsv").write_text("", "utf-8")
    message = bench.failed(bench.run(*arguments))
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert sentence in message
    assert list_runs().runs == ()


def test_a_task_that_the_pair_lacks_is_refused(bench, tiny_zoo, monkeypatch):
    manifest = json.loads((tiny_zoo / "tiny" / "pair.json").read_text("utf-8"))
    (bench.folder / "zoo" / "tiny").mkdir(parents=True)
    (bench.folder / "zoo" / "tiny" / "pair.json").write_text(
        json.dumps(manifest | {"tasks": ["summarize"]}), "utf-8"
    )
    monkeypatch.setenv("HYBRID_ZOO", str(bench.folder / "zoo"))
    assert "but the pair tiny is for summarize (en)" in bench.failed(bench.measure())


def test_results_that_cannot_be_written_fail_before_models_are_loaded(bench, monkeypatch):
    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("models were loaded")

    monkeypatch.setattr("hybrid.benchmark.block.load_engines", load)
    (bench.folder / "results").write_text("a file", "utf-8")
    message = bench.failed(bench.measure())
    assert message.startswith(f"error: No run can be stored in {bench.folder / 'results'}: ")
    assert "HYBRID_RESULTS" in message


def test_a_run_that_cannot_be_created_is_one_sentence(bench, monkeypatch):
    def create(*_: Any, **__: Any) -> None:
        raise StoreError("No run can be stored in results: No space left on device.")

    monkeypatch.setattr(use_case, "create", create)
    assert bench.failed(bench.measure()).endswith(
        "error: No run can be stored in results: No space left on device.\n"
    )


def test_help_needs_no_torch():
    code = "import sys; from hybrid.cli import main; main(['bench', '--help'], standalone_mode=False); "
    done = subprocess.run(
        [sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], capture_output=True, check=True
    )
    assert b"--fixed-length" in done.stdout


# several engines, drafts


def test_a_run_holds_several_engines_and_records_each(bench):
    systems = ("llm", "llm@transformers", "hybrid", "lossless")
    stored = bench.stored(bench.measure("--limit", "2", "--systems", ",".join(systems)))
    assert stored.run.plan.systems == systems
    assert {s: (ran.engine, ran.device, ran.dtype) for s, ran in stored.run.ran.items()} == {
        s: ("transformers" if "@" in s else "torch", "cpu", "float32") for s in systems
    }
    assert stored.run.memory_bandwidth == 10e9
    costs = {
        s: (ran.decode_bytes, ran.encode_flops, ran.attention_flops) for s, ran in stored.run.ran.items()
    }
    assert costs["llm"] == costs["llm@transformers"] != costs["hybrid"]
    assert costs["lossless"][0] == 0 < costs["lossless"][1]
    texts = {(r.example_id, r.system): r.generation.text for r in stored.records}
    for example in {r.example_id for r in stored.records}:
        assert texts[example, "llm"] == texts[example, "lossless"] == texts[example, "llm@transformers"]
    lossless = [r.generation for r in stored.records if r.system == "lossless"]
    assert all(generation.drafted >= generation.accepted for generation in lossless)
    assert any(generation.drafted for generation in lossless)
    assert {"draft", "verify"} <= set(lossless[0].timing.phases)


def test_a_lossless_system_answers_one_prompt_at_a_time(bench):
    sentence = bench.failed(bench.measure("--limit", "2", "--systems", "lossless", "--batch-size", "2"))
    assert "answers one prompt at a time, and 2 were given; use --batch-size 1" in sentence


def test_the_machine_is_probed_before_and_after(bench):
    run = bench.stored(bench.measure("--limit", "2")).run
    assert run.probes == (PROBE, replace(PROBE, records_before=6))
    assert run.memory_bandwidth == 10e9
