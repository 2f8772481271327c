"""Whatever makes a number doubtful is said in a sentence, and nothing is said without a cause."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from hybrid.compare import compare_runs
from hybrid.compare.warnings import SMALL
from hybrid.schema import Resumption, Sampling, System
from hybrid.store import StoredRun
from tests.compare.fake import ENVIRONMENT, changed, make_run, sentences, with_records, worse


def warnings(*runs: StoredRun, baseline: str = "llm") -> tuple[str, ...]:
    return compare_runs(runs, baseline, resamples=20).warnings


@pytest.fixture(scope="module")
def good() -> StoredRun:
    return make_run(SMALL)


def test_a_good_run_has_no_warning(good: StoredRun) -> None:
    assert warnings(good) == ()


def test_a_run_that_went_on_elsewhere_names_what_changed(good: StoredRun) -> None:
    other = replace(ENVIRONMENT, python="3.12.1", packages={"torch": "2.14.0"}, memory_bytes=5)
    more = replace(other, memory_bytes=6)
    resumptions = (
        Resumption(records_before=40, environment=other),
        Resumption(records_before=50, environment=more),
        Resumption(records_before=1060, environment=ENVIRONMENT),
    )
    start = "Run run-a went on in another environment after"
    assert warnings(changed(good, resumptions=resumptions)) == (
        f"{start} 40 answers: python (3.11.9 and 3.12.1), package torch (2.13.0 and 2.14.0).",
        f"{start} 1,060 answers: python (3.12.1 and 3.11.9), package torch (2.14.0 and 2.13.0).",
    )


def test_an_incomplete_run_says_how_far_it_came_and_what_falls_out() -> None:
    last = 2 * SMALL - 1
    stored = make_run(2 * SMALL, answered=lambda system, i, r: i < last or system == "llm")
    incomplete, *lost = warnings(stored)
    assert incomplete == f"Run run-a is incomplete: {6 * SMALL - 2} of {6 * SMALL} answers."
    start = f"1 of {2 * SMALL} examples of llm of run run-a are not compared: "
    assert lost == [f"{start}{s} of run run-a has not answered the same text." for s in ("slm", "hybrid")]


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


def test_tokens_of_two_tokenizers_are_not_of_one_size(good: StoredRun) -> None:
    (warning,) = warnings(changed(good, two_tokenizers=True))
    assert "characters/s" in warning
    assert "different tokenizers" in warning


def test_few_examples() -> None:
    (sentence,) = warnings(make_run(SMALL - 1))
    few = f"answered only {SMALL - 1} examples: intervals are too narrow."
    assert sentence == f"llm, slm and hybrid of run run-a {few}"
    (sentence,) = warnings(make_run(SMALL - 1, systems=(System("llm"),)))
    assert sentence == f"llm of run run-a {few}"
    assert sentences(warnings(make_run(1)), "only 1 example: it takes 6 to carry an interval")


def test_answers_that_were_cut_off(good: StoredRun) -> None:
    def cut(count: int):
        def change(record):
            stop = record.system == "hybrid" and record.example_id < f"e{count:04}"
            answer = replace(record.generation, finish_reason="length" if stop else "eos")
            return replace(record, generation=answer)

        return change

    assert warnings(with_records(good, cut(2))) == ()
    (sentence,) = warnings(with_records(good, cut(3)))
    assert sentence.startswith(f"hybrid of run run-a stopped at 128 tokens in 3 of {SMALL} answers")


def test_prompts_that_were_cut(good: StoredRun) -> None:
    def change(record):
        longest = record.example_id < "e0003" and record.system != "slm"
        tokens = 512 if longest else 100 + int(record.example_id[1:])
        return replace(record, generation=replace(record.generation, prompt_tokens=tokens))

    long_prompts = changed(with_records(good, change), max_prompt_tokens=512)
    assert warnings(long_prompts) == ()  # a prompt that is too long would have been refused
    truncating = changed(long_prompts, {"sampling": Sampling(truncate=True)})
    (sentence,) = warnings(truncating)
    assert sentence == (
        f"llm and hybrid of run run-a read 3 of {SMALL} prompts as long as the pair reads, 512 tokens: "
        "longer ones were cut."
    )
    assert warnings(changed(truncating, max_prompt_tokens=513)) == ()
    assert warnings(changed(truncating, max_prompt_tokens=None)) == ()  # nothing is guessed


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


def test_code_that_was_not_committed(good: StoredRun) -> None:
    before = replace(good.run.environment, code="0123456789abcdef+changes")
    (sentence,) = warnings(changed(good, environment=before))
    assert sentence.startswith("Run run-a was measured with changes to commit 0123456789ab that were not")
    later = Resumption(records_before=3, environment=before)
    assert sentences(warnings(changed(good, resumptions=(later, later))), "not committed") == [sentence]
    assert warnings(good) == ()


@pytest.mark.parametrize(
    ("signature", "reference", "warned"),
    [
        ("rougeL|F1|rouge-score:0.1.2", "Собака бежит.", True),
        ("rougeL|F1|rouge-score:0.1.2", "A dog and a кошка.", False),
        ("rougeL|F1|tok:unicode|rouge-score:0.1.2", "Собака бежит.", False),
    ],
)
def test_letters_that_rouge_dropped(good: StoredRun, signature: str, reference: str, warned: bool) -> None:
    texts = tuple(replace(example, references=(reference,)) for example in good.examples)
    stored = replace(changed(good, signatures={"rougeL": signature}), examples=texts)
    warning = sentences(warnings(stored), "`hybrid score run-a --metric rougeL`", "letters beyond a to z")
    assert bool(warning) == warned


def test_texts_too_long_for_a_metric_are_named(good: StoredRun) -> None:
    def without(record):
        return replace(record, statistics={n: row for n, row in record.statistics.items() if n != "ter"})

    (sentence,) = warnings(with_records(good, without))
    assert sentence.endswith(
        "not scored by TER: `hybrid score run-a` does it; "
        "an answer or reference of more than 512 words has no TER."
    )
