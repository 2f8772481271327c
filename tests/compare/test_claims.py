"""A claim is proved or refuted by a run's intervals, or says how many more examples it would take."""

from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.compare.claims import Claim, claim_sentence, judge_claim, load_claim
from hybrid.errors import InputError
from hybrid.schema import Sampling, System
from hybrid.store import StoredRun
from tests.compare.fake import changed, make_run, right

CLAIM = """
says = "The hybrid keeps 98 % of the LLM's BLEU and is 3 times as fast"
suite = "made"
[at_least]
quality = 0.98
end_to_end = 3.0
"""


def claim(**at_least: float) -> Claim:
    return Claim(suite="made", at_least=at_least)


def run_of(n: int = 60, complete: bool = True, **more: object) -> StoredRun:
    stored = make_run(n, **more)
    finished = stored.run.created_at if complete else None
    return replace(stored, run=replace(stored.run, finished_at=finished))


def test_a_claim_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "claim.toml"
    path.write_text(CLAIM + "\n", encoding="utf-8")
    read = load_claim(path)
    assert (read.system, read.baseline, read.pair, read.run) == ("hybrid", "llm", "", "")
    assert read.at_least == {"quality": 0.98, "end_to_end": 3.0}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("quality = 0.98", "beauty = 0.98", "beauty"),
        ("quality = 0.98", "quality = -1", "-1"),
        ("quality = 0.98", "quality = nan", "nan"),
        ("quality = 0.98", 'quality = "much"', "at_least"),
        ("quality = 0.98", "length = 0.98", "length"),
        ("quality = 0.98", "quality = 0.98\nttft = 1.0", "3"),
        ("quality = 0.98\nend_to_end = 3.0", "", "0 parts"),
        ('suite = "made"', 'suite = "made"\nsytem = "llm"', "sytem"),
        ('suite = "made"', 'suite = "made"\nsystem = "llm"', "llm"),
        ('suite = "made"', 'suite = "made"\nsystem = "slim"', "slim"),
        ('suite = "made"', "", "suite"),
        ('suite = "made"', "suite = ", "TOML|value|line"),
    ],
)
def test_what_is_no_claim_is_refused_by_what_is_wrong(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = tmp_path / "claim.toml"
    path.write_text(CLAIM.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=named):
        load_claim(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml"):
        load_claim(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("at_least", "outcome"),
    [
        ({"end_to_end": 3.9}, "proved"),
        ({"end_to_end": 4.1}, "refuted"),
        ({"quality": 0.5, "end_to_end": 3.9}, "proved"),
        ({"bleu": 0.99, "end_to_end": 3.9}, "refuted"),  # the others are worse
        ({"quality": 0.5, "per_token": 9.0}, "refuted"),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_clear_claims_are_decided(at_least: dict[str, float], outcome: str, complete: bool) -> None:
    """By the intervals of a comparison, or where a run is not complete by always-valid ones."""
    judged = judge_claim(claim(**at_least), run_of(150, complete))
    assert (judged.outcome, judged.n, judged.more) == (outcome, 150, None)
    assert judged.always_valid is not complete


def test_an_open_claim_says_how_many_more_it_would_take() -> None:
    stored = run_of(60)
    kept = judge_claim(claim(quality=0.5), stored).parts[0].ratio
    judged = judge_claim(claim(quality=kept.value - (kept.value - kept.low) / 2), stored)
    assert judged.outcome == "open"
    assert judged.more == pytest.approx(60 * 2.0433 * 4 - 60, abs=3)
    assert f"about {round(judged.more, -1):,} more examples would decide it (80 % power)" in claim_sentence(
        judged
    )
    stopped = judge_claim(
        claim(quality=kept.value - (kept.value - kept.low) / 2), run_of(150, complete=False)
    )
    assert stopped.outcome == "open"
    assert stopped.parts[0].ratio.low < kept.low or stopped.parts[0].ratio.n > kept.n
    assert "always-valid" in claim_sentence(stopped)


def test_few_examples_prove_nothing() -> None:
    judged = judge_claim(claim(quality=0.5), run_of(30, texts={"hybrid": right}))
    assert (judged.outcome, judged.more) == ("open", 20)
    few = judge_claim(claim(quality=0.5), run_of(30, complete=False))
    assert (few.outcome, few.more) == ("open", None)
    assert "too few examples for an interval" in claim_sentence(few)


def test_summaries_may_be_claimed_to_beat_those_without_a_model_and_say_where_they_do_not() -> None:
    stored = run_of(60, task="summarize", texts={"hybrid": lambda i, r: "Nothing of it."})
    judged = judge_claim(claim(end_to_end=3.0), stored)
    assert judged.outcome == "proved"
    assert judged.unbeaten.startswith("the document's first")
    assert claim_sentence(judged).startswith("Hybrid is no better than the document's first")
    beaten = replace(claim(quality=1.0), baseline=System("lead-1"))
    assert judge_claim(beaten, stored).outcome == "refuted"
    assert not judge_claim(claim(end_to_end=3.0), run_of(60)).unbeaten


def test_the_sentence() -> None:
    text = claim_sentence(judge_claim(claim(bleu=0.5, end_to_end=3.0), run_of(60)))
    assert text.startswith("Proved at n = 60: ")
    assert "% [" in text
    assert "of the BLEU of LLM alone (needs 50 %) and 4.0× [" in text
    assert text.endswith("as fast as LLM alone, end to end (needs 3×).")


@pytest.mark.parametrize(
    ("at_least", "stored", "named"),
    [
        ({"rougeL": 0.9}, run_of(20), "rougeL"),
        ({"quality": 0.9}, run_of(20, sampling=Sampling(ignore_eos=True)), "end_to_end"),
        (
            {"quality": 0.9},
            run_of(20, systems=(System("llm"), System("slm"))),
            "hybrid.* has answers of llm, slm",
        ),
        ({"quality": 0.9}, run_of(20, texts={"llm": lambda i, r: ""}), "bleu"),
        ({"quality": 0.9}, changed(run_of(20), {"suite": "another"}), "another"),
        (
            {"end_to_end": 3.0},
            run_of(4, answered=lambda system, i, r: (i < 2) == (system == "hybrid")),
            "share no example",
        ),
    ],
)
def test_a_run_that_lacks_what_is_claimed(at_least: dict[str, float], stored: StoredRun, named: str) -> None:
    with pytest.raises(InputError, match=named):
        judge_claim(claim(**at_least), stored)


def test_a_claim_about_a_suite_is_about_any_version_and_one_of_a_version_about_that() -> None:
    stored = changed(run_of(60), {"suite": "made@2"})
    assert judge_claim(claim(end_to_end=3.0), stored).outcome == "proved"
    with pytest.raises(InputError, match="made@1"):
        judge_claim(replace(claim(end_to_end=3.0), suite="made@1"), stored)
    with pytest.raises(InputError, match="my-pair"):
        judge_claim(replace(claim(end_to_end=3.0), pair="my-pair"), stored)
