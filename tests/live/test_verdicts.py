"""What the figures of a few answers say."""

from dataclasses import replace

import pytest

from hybrid.live import baseline_of, remarks, speedup, verdict
from hybrid.live.verdicts import fidelity_in_words, labels, scores, scores_in_words
from hybrid.metrics import score, score_alone
from hybrid.schema import TASKS, Generation, System, Timing, task_named
from tests.live.made import generation


def answers_of(*answers: Generation) -> dict[System, Generation]:
    return {answer.system: answer for answer in answers}


def test_speedup_is_the_baseline_over_the_answer():
    gain = speedup(generation("hybrid", [0.05, 0.06, 0.07]), generation("llm", [0.05, 0.09, 0.13]))
    assert gain.per_token == pytest.approx(4)
    assert gain.end_to_end == pytest.approx(0.14 / 0.08)


def test_one_token_has_no_time_per_token():
    assert speedup(generation("hybrid", [0.05]), generation("llm", [0.05, 0.09])).per_token is None


@pytest.mark.parametrize(
    ("hybrid_s", "expected"),
    [
        (0.031, "Hybrid answered 3.9× sooner than the LLM: 41.0 ms against 160 ms."),
        (0.31, "Hybrid answered 2.0× later than the LLM: 320 ms against 160 ms."),
        (0.149, "Hybrid and LLM answered equally fast: 159 ms against 160 ms."),
        (0.0, "Hybrid answered 16.0× sooner than the LLM: 10.0 ms against 160 ms."),
    ],
)
def test_verdict(hybrid_s, expected):
    answers = answers_of(
        generation("llm", [0.15]), generation("slm", [0.01]), generation("hybrid", [hybrid_s])
    )
    assert verdict(answers) == expected


def test_remarks_name_cut_and_empty_answers():
    silent = Generation(
        system=System("slm"),
        text=" ",
        token_ids=(1,),
        prompt_tokens=5,
        finish_reason="eos",
        timing=Timing({"decode": 0.1}, (0.1,)),
    )
    answers = answers_of(generation("llm", [0.1], "length"), silent, generation("hybrid", [0.1], "length"))
    cut, empty = remarks(answers)
    assert "LLM alone, Hybrid" in cut
    assert "SLM alone" in empty
    assert remarks(answers_of(generation("llm", [0.1]))) == []


def test_remarks_name_an_answer_in_which_the_process_stood_still():
    answer = generation("hybrid", [0.1])
    stopped = replace(answer, timing=replace(answer.timing, disturbed=True))
    (remark,) = remarks(answers_of(generation("llm", [0.1]), stopped))
    assert "starved" in remark
    assert remark.endswith(": Hybrid.")


def test_remarks_name_the_engine_too():
    (cut,) = remarks(answers_of(generation("llm@torch", [0.1], "length")))
    assert cut.endswith("LLM alone, torch.")


@pytest.mark.parametrize(
    ("systems", "base"),
    [
        (["slm", "llm", "hybrid"], "llm"),
        (["hybrid", "slm"], "hybrid"),
        (["slm@torch", "llm@onnx"], "slm@torch"),
    ],
)
def test_the_baseline_is_the_llm_or_else_the_first(systems, base):
    assert baseline_of(map(System.parse, systems)) == base


@pytest.mark.parametrize(
    ("times_s", "sentence"),
    [
        ({"hybrid": 0.04}, "Hybrid answered in 50.0 ms."),
        ({"slm": 0.01}, "SLM answered in 20.0 ms."),
        ({"slm": 0.19, "hybrid": 0.09}, "Hybrid answered 2.0× sooner than the SLM: 100 ms against 200 ms."),
        ({"hybrid": 0.09, "slm": 0.19}, "SLM answered 2.0× later than Hybrid: 200 ms against 100 ms."),
        (
            {"llm": 0.39, "slm": 0.03, "llm@torch": 0.19},
            "SLM answered 10.0× sooner than the LLM: 40.0 ms against 400 ms.",
        ),
        (
            {"hybrid@torch": 0.19, "hybrid@onnx": 0.09, "slm": 0.29},
            "Hybrid, onnx answered 2.0× sooner than Hybrid, torch: 100 ms against 200 ms.",
        ),
        ({"slm": 0.1, "llm": 0.1}, "SLM and LLM answered equally fast: 110 ms against 110 ms."),
    ],
)
def test_a_verdict_on_any_systems(times_s, sentence):
    answers = answers_of(*(generation(system, [seconds]) for system, seconds in times_s.items()))
    assert verdict(answers) == sentence


@pytest.mark.parametrize(
    ("task", "metrics"), [(TASKS["translate-en-de"], ["chrf", "bleu"]), (TASKS["summarize"], ["rougeL"])]
)
def test_scores_are_those_of_the_metrics(task, metrics):
    live_scores = scores(task, ["the old bridge is open"], ["the new bridge is open"])
    expected = [score_alone(name, "the old bridge is open", ["the new bridge is open"]) for name in metrics]
    assert list(live_scores.values()) == expected
    assert tuple(live_scores) == labels(task)
    assert scores_in_words(live_scores).startswith(f"{labels(task)[0]} {expected[0].value:.1f}")


def test_a_short_answer_that_is_right_is_best_and_several_are_a_corpus():
    assert scores(TASKS["translate-en-de"], ["Ja."], ["Ja."])["BLEU"].value == pytest.approx(100)
    texts = ["Das alte Haus ist offen.", "Ja."]
    together = scores(TASKS["translate-en-de"], texts, texts)["BLEU"]
    assert together == score("bleu", texts, [[text] for text in texts])


def test_every_task_is_judged_and_nothing_scores_nothing():
    assert all(labels(task) for task in TASKS.values())
    assert scores(TASKS["summarize"], [], []) == {}
    assert (
        scores(task_named("unheard-of"), ["a"], ["a"]).keys()
        == scores(TASKS["summarize"], ["a"], ["a"]).keys()
    )


def test_a_lossless_answer_is_set_beside_the_llms():
    lossless = System("lossless", "torch")
    assert fidelity_in_words(lossless, "Ja.", "Ja.") == "The LLM's own answer"
    assert fidelity_in_words(lossless, "Ja!", "Ja.").startswith("Not the LLM's own answer")
    assert fidelity_in_words(System("hybrid"), "Ja.", "Ja.") == ""
