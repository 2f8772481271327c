"""What differs between runs, or falls out of a pair, is said once for each kind of difference."""

from dataclasses import replace

import pytest

from hybrid.compare import compare_runs
from hybrid.compare.warnings import SMALL
from hybrid.schema import Hardware, Sampling, System
from hybrid.store import StoredRun
from tests.compare.fake import ENVIRONMENT, changed, make_run, sentences, with_records


def warnings(*runs: StoredRun, baseline: str = "llm") -> tuple[str, ...]:
    return compare_runs(runs, baseline, resamples=20).warnings


@pytest.fixture(scope="module")
def good() -> StoredRun:
    return make_run(SMALL)


@pytest.fixture(scope="module")
def other() -> StoredRun:
    """The same again, without an LLM."""
    return make_run(SMALL, run_id="run-b", systems=(System("slm"), System("hybrid")))


def test_equal_runs_compare_without_a_warning(good: StoredRun, other: StoredRun) -> None:
    assert warnings(good, other) == ()


@pytest.mark.parametrize(
    ("plan", "parts"),
    [
        ({"threads": 2}, ["was measured differently from run run-a: threads (2 and 1)."]),
        ({"engine": "onnx", "device": "cuda"}, ["engine (onnx and torch), device (cuda and cpu)."]),
        ({"dtype": "bfloat16"}, ["dtype (bfloat16 and float32)."]),
        (
            {"sampling": Sampling(64)},
            ["was decoded differently from run run-a: max new tokens (64 and 128)."],
        ),
        ({"pair": "big"}, ["was made with another pair than run run-a: big and tiny."]),
        ({"suite_hash": "0" * 64}, ["suite of other content than run run-a: made (000000000000) and made ("]),
        (
            {"limit": 20, "seed": 1},
            ["another part of the suite than run run-a: limit (20 and none), seed (1"],
        ),
    ],
)
def test_plans_that_differ(good: StoredRun, other: StoredRun, plan, parts) -> None:
    (sentence,) = warnings(good, changed(other, plan))
    assert sentence.startswith("Run run-b was ")
    assert all(part in sentence for part in parts)


def test_runs_that_each_have_their_own_baseline_are_compared_too(good: StoredRun) -> None:
    gpu = replace(ENVIRONMENT, device_name="NVIDIA H200")
    plan = {"device": "cuda", "dtype": "half"}
    first, second = (changed(good, plan, run_id=name, environment=gpu) for name in ("gpu-1", "gpu-2"))
    assert warnings(good, first) == (
        "Run gpu-1 was measured differently from run run-a: device (cuda and cpu), dtype (half and float32).",
        "Run gpu-1 was made in another environment than run run-a: device name (NVIDIA H200 and A CPU).",
    )
    texts = warnings(good, first, second)
    assert [w.partition(" from ")[0].partition(" than ")[0] for w in texts] == [
        "Runs gpu-1 and gpu-2 were measured differently",
        "Runs gpu-1 and gpu-2 were made in another environment",
    ]
    assert warnings(first, second) == ()


def test_machines_of_one_name(good: StoredRun, other: StoredRun) -> None:
    older = Hardware("AuthenticAMD", "25", "17", instructions=("avx2",))
    newer = Hardware("AuthenticAMD", "26", "2", instructions=("avx2", "avx_vnni"))

    def on(hardware: Hardware, name: str) -> StoredRun:
        return changed(good, {}, run_id=name, environment=replace(ENVIRONMENT, hardware=hardware))

    (sentence,) = warnings(on(older, "run-a"), on(newer, "run-b"))
    assert sentence == (
        "Run run-b was made on another machine than run run-a: A CPU: family 26 model 2 with avx_vnni "
        "against family 25 model 17 without avx_vnni; int8 answers may differ between instruction sets."
    )
    assert warnings(on(older, "run-a"), on(replace(older, cores=4), "run-b")) == (
        "Run run-b was made on another machine than run run-a: A CPU: 4 cores against 0 cores.",
    )
    assert warnings(on(older, "run-a"), on(older, "run-b")) == ()
    unknown = [on(Hardware(), name) for name in ("run-a", "run-c")]
    assert warnings(*unknown) == ()
    several = warnings(unknown[0], on(older, "run-b"), unknown[1], on(newer, "run-d"))
    assert len(several) == 2
    assert several[0] == (
        "Runs run-a and run-c were made on what may be another machine than run run-b: A CPU is all that is "
        "known."
    )
    assert several[1].startswith("Run run-d was made on another machine than run run-b: ")


def test_runs_of_two_tasks_may_differ_in_their_suites(good: StoredRun) -> None:
    plan = {"task": "summarize", "suite_hash": "1" * 64, "suite": "briefs"}
    signatures = {"rougeL": "refs:2", "length": "nrefs:2"}
    unscored = changed(good, plan, run_id="briefs", signatures=signatures)
    assert sentences(warnings(good, unscored), "ROUGE-L, ROUGE-1, ROUGE-2", "`hybrid score briefs`")
    statistics = {"rougeL": (0.5,), "rouge1": (0.5,), "rouge2": (0.5,), "length": (8.0, 9.0)}
    briefs = with_records(unscored, lambda record: replace(record, statistics=statistics))
    assert warnings(good, briefs) == ()
    (sentence,) = warnings(good, changed(briefs, {"threads": 2}))
    assert sentence == "Run briefs was measured differently from run run-a: threads (2 and 1)."
    other = changed(briefs, {"suite_hash": "2" * 64}, run_id="other")
    (sentence,) = warnings(good, briefs, other)
    assert sentence.startswith("Run other was given a suite of other content than run briefs: briefs (222222")


def test_the_order_of_a_whole_suite_changes_no_number(good: StoredRun, other: StoredRun) -> None:
    assert warnings(good, changed(other, {"seed": 7})) == ()


def test_a_different_batch_size_is_named(good: StoredRun, other: StoredRun) -> None:
    assert sentences(warnings(good, changed(other, {"batch_size": 2})), "batch size (2 and 1)")


def test_environments_that_differ_are_named_field_by_field(good: StoredRun, other: StoredRun) -> None:
    environment = replace(ENVIRONMENT, cpu="Another", packages={"torch": "2.12.1", "onnxruntime": "1.23"})
    (sentence,) = warnings(good, changed(other, environment=environment))
    assert sentence.endswith(
        "was made in another environment than run run-a: cpu (Another and A CPU), "
        "package torch (2.12.1 and 2.13.0), package onnxruntime (1.23 and none)."
    )


def test_other_weights_of_the_same_pair(good: StoredRun, other: StoredRun) -> None:
    environment = replace(ENVIRONMENT, weights_sha256="e" * 64)
    (sentence,) = warnings(good, changed(other, environment=environment))
    assert sentence == (
        "Run run-b was made with other weights of pair tiny than run run-a: eeeeeeeeeeee and ffffffffffff."
    )


def test_other_signatures(good: StoredRun, other: StoredRun) -> None:
    (sentence,) = warnings(good, changed(other, signatures=dict(good.run.signatures) | {"bleu": "tok:intl"}))
    assert "was scored differently from run run-a: bleu (tok:intl and nrefs:1|" in sentence
    assert warnings(good, changed(other, signatures={})) == ()


def test_examples_that_the_baselines_run_lacks(good: StoredRun) -> None:
    larger = make_run(2 * SMALL, run_id="run-b", systems=(System("hybrid"),))
    of_examples = sentences(
        warnings(good, larger), f"{SMALL} of {2 * SMALL} examples of run run-b are not compared"
    )
    assert len(of_examples) == 1


@pytest.mark.parametrize(
    ("batches", "end"),
    [
        (1, "rests on only 1 batch: it carries no interval."),
        (5, "rests on only 5 batches: it carries no interval."),
        (6, ""),
    ],
)
def test_few_pairs(batches: int, end: str) -> None:
    texts = warnings(make_run(60, batch_size=60 // batches))
    starts = (f"A speed-up of {system} of run run-a over llm of run run-a " for system in ("slm", "hybrid"))
    assert texts == (tuple(start + end for start in starts) if end else ())


def test_batches_of_other_examples(good: StoredRun, other: StoredRun) -> None:
    batched = make_run(
        SMALL, run_id="run-b", systems=(System("slm"), System("hybrid")), batch_size=7
    )  # the last one holds 1
    _, left_out, few = warnings(good, batched)
    assert left_out == (
        f"{SMALL - 1} of {SMALL} examples are left out of the speed-up of run run-b over run run-a: "
        "they were answered in batches with others than there."
    )
    assert few.startswith("A speed-up of run run-b over run run-a rests on only 1 batch")
