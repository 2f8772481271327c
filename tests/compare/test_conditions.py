"""Whatever makes a number doubtful is said in a sentence, and nothing is said without a cause."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from hybrid.compare import compare
from hybrid.compare.conditions import SMALL
from hybrid.schema import Sampling
from hybrid.store import StoredRun
from tests.compare.fake import ENVIRONMENT, changed, make_run, sentences, with_records, worse


def warnings(*runs: StoredRun, baseline: str = "llm") -> tuple[str, ...]:
    return compare(runs, baseline, resamples=20).warnings


@pytest.fixture(scope="module")
def good() -> StoredRun:
    return make_run(SMALL)


@pytest.fixture(scope="module")
def other() -> StoredRun:
    """The same again, without an LLM."""
    return make_run(SMALL, run_id="run-b", systems=("slm", "hybrid"))


def test_a_good_run_has_no_warning(good: StoredRun) -> None:
    assert warnings(good) == ()


def test_equal_runs_compare_without_a_warning(good: StoredRun, other: StoredRun) -> None:
    assert warnings(good, other) == ()


@pytest.mark.parametrize(
    ("plan", "parts"),
    [
        ({"threads": 2}, ["measured differently: threads (2 and 1)."]),
        ({"engine": "onnx", "device": "cuda"}, ["engine (onnx and torch), device (cuda and cpu)."]),
        ({"dtype": "bfloat16"}, ["dtype (bfloat16 and float32)."]),
        ({"sampling": Sampling(64)}, ["decoded differently: max new tokens (64 and 128)."]),
        ({"pair": "big"}, ["different pairs: big and tiny."]),
        ({"suite_hash": "0" * 64}, ["suites of different content: made (000000000000) and made ("]),
    ],
)
def test_plans_that_differ(good: StoredRun, other: StoredRun, plan, parts) -> None:
    (sentence,) = warnings(good, changed(other, plan))
    assert sentence.startswith("Run run-b and its baseline's run run-a ")
    assert all(part in sentence for part in parts)


def test_a_different_batch_size_is_named(good: StoredRun, other: StoredRun) -> None:
    assert sentences(warnings(good, changed(other, {"batch_size": 2})), "batch size (2 and 1)")


def test_environments_that_differ_are_named_field_by_field(good: StoredRun, other: StoredRun) -> None:
    environment = replace(ENVIRONMENT, cpu="Another", packages={"torch": "2.12.1", "onnxruntime": "1.23"})
    (sentence,) = warnings(good, changed(other, environment=environment))
    assert sentence.endswith(
        "were made in different environments: cpu (Another and A CPU), torch (2.12.1 and 2.13.0), "
        "onnxruntime (1.23 and none)."
    )


def test_other_weights_of_the_same_pair(good: StoredRun, other: StoredRun) -> None:
    environment = replace(ENVIRONMENT, weights_sha256="e" * 64)
    (sentence,) = warnings(good, changed(other, environment=environment))
    assert "ran pair tiny with different weights: eeeeeeeeeeee and ffffffffffff." in sentence


def test_other_signatures(good: StoredRun, other: StoredRun) -> None:
    (sentence,) = warnings(good, changed(other, signatures=dict(good.run.signatures) | {"bleu": "tok:intl"}))
    assert "were scored differently: bleu (tok:intl and nrefs:1|" in sentence
    assert warnings(good, changed(other, signatures={})) == ()


def test_an_incomplete_run_says_how_far_it_came_and_what_falls_out() -> None:
    last = 2 * SMALL - 1
    stored = make_run(2 * SMALL, answered=lambda system, i, r: i < last or system == "llm")
    incomplete, *lost = warnings(stored)
    assert incomplete == f"Run run-a is incomplete: {6 * SMALL - 2} of {6 * SMALL} answers."
    start = f"1 of {2 * SMALL} examples of llm of run run-a are not compared: "
    assert lost == [f"{start}{s} of run run-a has not answered the same text." for s in ("slm", "hybrid")]


def test_examples_that_the_baselines_run_lacks(good: StoredRun) -> None:
    larger = make_run(2 * SMALL, run_id="run-b", systems=("hybrid",))
    found = sentences(
        warnings(good, larger), f"{SMALL} of {2 * SMALL} examples of run run-b are not compared"
    )
    assert len(found) == 1


def test_an_interruption_is_seen_in_the_times(good: StoredRun) -> None:
    def pause(record):
        later = datetime.fromisoformat(record.started_at) + timedelta(hours=3)
        return replace(record, started_at=later.isoformat()) if record.position >= 60 else record

    (sentence,) = warnings(with_records(good, pause))
    assert sentence == (
        "Run run-a was interrupted once, for up to 3 hours, and resumed: "
        "conditions may have changed in between."
    )


def test_a_clock_that_was_set_back_or_cannot_be_read_is_no_interruption(good: StoredRun) -> None:
    def back(record):
        earlier = datetime.fromisoformat(record.started_at) - timedelta(hours=3)
        return replace(record, started_at=earlier.isoformat()) if record.position >= 60 else record

    assert warnings(with_records(good, back)) == ()
    assert warnings(with_records(good, lambda r: replace(r, started_at="yesterday"))) == ()


def test_few_examples() -> None:
    assert sentences(
        warnings(make_run(SMALL - 1)), f"hybrid of run run-a has answered only {SMALL - 1} examples"
    )
    assert sentences(warnings(make_run(1)), "only 1 example: it carries no interval")


def test_answers_that_were_cut_off(good: StoredRun) -> None:
    def cut(count: int):
        def change(record):
            stop = record.system == "hybrid" and record.example_id < f"e{count:04}"
            made = replace(record.generation, finish_reason="length" if stop else "eos")
            return replace(record, generation=made)

        return change

    assert warnings(with_records(good, cut(2))) == ()
    (sentence,) = warnings(with_records(good, cut(3)))
    assert sentence.startswith(f"hybrid of run run-a stopped at 128 tokens in 3 of {SMALL} answers")


def test_prompts_that_were_cut(good: StoredRun) -> None:
    def change(record):
        cut = record.example_id < "e0003"
        tokens = 512 if cut else 100 + int(record.example_id[1:])
        return replace(record, generation=replace(record.generation, prompt_tokens=tokens))

    found = with_records(good, change)
    assert warnings(found) == ()  # a prompt that is too long would have been refused
    truncating = changed(found, {"sampling": Sampling(truncate=True)})
    assert sentences(warnings(truncating), "llm", "read 3 prompts of exactly 512 tokens")


def test_repeats_that_disagree() -> None:
    stored = make_run(SMALL, {"hybrid": lambda i, r: worse(i) + "!" * (r if i < 4 else 0)}, repeats=3)
    (sentence,) = warnings(stored)
    assert sentence == (
        f"hybrid of run run-a wrote another text in a later repeat of 4 of {SMALL} examples: "
        "quality is that of the first."
    )


def test_fixed_length_is_said_once_and_its_ends_are_not_cut_offs(good: StoredRun) -> None:
    def change(record):
        return replace(record, generation=replace(record.generation, finish_reason="length"))

    fixed = changed(with_records(good, change), {"sampling": Sampling(64, ignore_eos=True)})
    (sentence,) = warnings(fixed)
    assert "has a fixed length of 64 tokens" in sentence


def test_damage_is_passed_on(good: StoredRun) -> None:
    damaged = replace(good, problems=("records.jsonl, line 7, is damaged and left out: it is not JSON.",))
    assert sentences(warnings(damaged), "Run run-a: records.jsonl, line 7")
