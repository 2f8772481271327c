"""Prompts in files as people have them, and the batch of them: how far it is, its medians, its table."""

import json
from dataclasses import replace
from statistics import median

import pytest

from hybrid.errors import InputError
from hybrid.live.batch import (
    LONGEST,
    MOST,
    MOST_BYTES,
    Batch,
    PromptRow,
    Row,
    headline,
    medians,
    progress,
    read_prompts,
    table,
)
from hybrid.live.history import AnswerSummary, summarize
from hybrid.live.model_cache import EngineRequest
from hybrid.metrics import score
from hybrid.schema import CPU, Sampling, System
from hybrid.store.tables import original
from tests.live.made import generation

SYSTEMS = (System("llm"), System("hybrid", "torch"))
LLM_S, HYBRID_S = (0.29, 0.19, 0.99), (0.09, 0.19, 0.29)


def batch(prompts: int = 4, reference: str = "a b c d", systems: tuple[str, ...] = SYSTEMS) -> Batch:
    rows = tuple(PromptRow(f"Prompt {n}.", reference if n < 2 else "") for n in range(prompts))
    return Batch(
        "translate-en-de",
        EngineRequest("tiny", {"tasks": ["translate-en-de"]}, CPU, systems),
        Sampling(8),
        rows,
    )


def row(prompt: PromptRow, n: int) -> Row:
    return Row(
        prompt,
        summarize(
            {"llm": generation("llm", [LLM_S[n]]), "hybrid@torch": generation("hybrid", [0.01, HYBRID_S[n]])}
        ),
    )


@pytest.fixture
def answered() -> Batch:
    """Three of four answered, the third prompt refused."""
    started = batch()
    for n, answer in enumerate((0, 1, None, 2)):
        prompt = started.next()
        assert prompt == started.prompts[n]
        started = started.with_row(Row(prompt, {}, "It is empty.") if answer is None else row(prompt, answer))
    return started


def cells(listing, name: str) -> list[object]:
    place = list(listing.columns).index(name)
    return [line[place] for line in listing.rows]


def test_it_ends_when_all_were_asked(answered: Batch):
    assert answered.state == "done"
    assert answered.next() is None
    assert answered.at_rest() is answered
    assert answered.resumed() is answered


def test_a_stop_loses_nothing_and_is_resumed_where_it_was():
    started = batch()
    measured = started.with_row(row(started.prompts[0], 0))
    stopped = measured.at_rest("Somebody measures.")
    assert (stopped.next(), stopped.rows, stopped.stopped) == (None, measured.rows, "Somebody measures.")
    assert stopped.resumed() == measured
    assert progress(stopped) == "1 of 4 prompts measured, 400 ms a prompt in all systems"
    assert progress(started) == "0 of 4 prompts measured"


def test_medians_are_over_the_answered_prompts(answered: Batch):
    summary = medians(answered)
    assert cells(summary, "n") == [3, 3]
    llm, hybrid = [s + 0.01 for s in LLM_S], [s + 0.01 for s in HYBRID_S]
    assert cells(summary, "median ms") == pytest.approx([1000 * median(llm), 1000 * median(hybrid)])
    gains = [slow / fast for slow, fast in zip(llm, hybrid, strict=True)]
    assert cells(summary, "median speed-up") == pytest.approx([1, median(gains)], abs=0.005)
    assert cells(summary, "median TTFT ms") == pytest.approx([290, 10])
    assert headline(answered) == (
        "Medians over n = 3: Hybrid, torch answered 3.0× sooner than the LLM: 200 ms against 300 ms."
    )


def test_no_median_holds_a_time_in_which_the_process_was_stopped(answered: Batch):
    slow = answered.rows[3]
    stopped = replace(slow.summaries["hybrid@torch"], total_s=90.0, ttft_s=80.0, disturbed=True)
    rows = (*answered.rows[:3], replace(slow, summaries={**slow.summaries, "hybrid@torch": stopped}))
    summary = medians(replace(answered, rows=rows))
    assert (cells(summary, "n"), cells(summary, "n timed")) == ([3, 3], [2, 2])
    assert cells(summary, "median ms") == pytest.approx([250, 150])
    assert cells(summary, "median TTFT ms") == pytest.approx([240, 10])
    assert cells(summary, "median speed-up") == pytest.approx([1, 2])
    assert headline(replace(answered, rows=rows)).startswith("Medians over n = 2 of 3, ")
    assert "Hybrid, torch" in str(cells(table(replace(answered, rows=rows)), "problem")[3])
    alone = replace(answered, prompts=answered.prompts[3:], rows=rows[3:])
    assert cells(medians(alone), "median ms") == cells(medians(alone), "median speed-up") == [None, None]
    assert "n = 0 of 1" in headline(alone)


def test_quality_is_over_the_prompts_with_a_reference(answered: Batch):
    summary = medians(answered)
    texts = [answered.rows[n].summaries["hybrid@torch"].text for n in (0, 1)]
    expected = score("chrf", texts, [["a b c d"]] * 2).value
    assert cells(summary, "chrF")[1] == pytest.approx(expected, abs=0.05)
    assert "chrF" not in medians(batch(reference="")).columns


def test_the_table_has_every_prompt_and_says_why_one_has_no_answer(answered: Batch):
    listing = table(answered)
    assert cells(listing, "source") == [f"Prompt {n}." for n in range(4)]
    assert cells(listing, "llm ms") == [300.0, 200.0, None, 1000.0]
    assert cells(listing, "hybrid@torch speed-up") == [3.0, 1.0, None, 3.33]
    assert "llm speed-up" not in listing.columns
    assert cells(listing, "problem") == ["", "", "It is empty.", ""]
    assert cells(listing, "reference")[2:] == ["", ""]
    assert "reference" not in table(batch(reference="")).columns


def test_formulas_in_prompts_and_answers_are_harmless_in_the_csv():
    started = batch(1, systems=(System("llm"),))
    formula = "=cmd|' /C calc'!A0"
    answer = AnswerSummary(formula, 3, 0.1, 0.1, None)
    listing = table(started.with_row(Row(PromptRow(formula), {"llm": answer})))
    line = listing.csv().decode().splitlines()[1]
    assert f",'{formula}," in line
    assert original(line.split(",")[1]) == formula


def test_nothing_answered_is_said():
    started = batch(1).with_row(Row(PromptRow("x"), {}, "Too long."))
    assert headline(started) == "No prompt was answered."
    assert not medians(started).rows


BOTH = (PromptRow("One, two.", "Eins, zwei."), PromptRow("Three.", ""))


@pytest.mark.parametrize(
    ("name", "text", "prompts"),
    [
        ("a.txt", "One, two.\r\n\r\n  \nThree.", (PromptRow("One, two."), PromptRow("Three."))),
        ("a.TXT", "\ufeffOne,\u2028two.", (PromptRow("One,\u2028two."),)),
        ("a.csv", 'id,Source,reference\n1,"One, two.","Eins, zwei."\n2,Three.,\n', BOTH),
        ("a.csv", 'source\n"One\ntwo"\n', (PromptRow("One\ntwo"),)),
        (
            "a.tsv",
            'source\treference\nOne, two.\tEins, zwei.\nThree.\t\n"a\tb"\n',
            (*BOTH, PromptRow('"a', 'b"')),
        ),
        (
            "a.jsonl",
            '{"source": "One, two.", "references": ["Eins, zwei.", "x"]}\n\n{"document": "Three."}\n',
            BOTH,
        ),
    ],
)
def test_prompts_and_references_are_read(name, text, prompts):
    assert read_prompts(name, text.encode()) == prompts


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"", "a.txt holds no prompt."),
        ("a.csv", b"", "a.csv holds no prompt."),
        ("a.csv", b"source,reference\n", "a.csv holds no prompt."),
        ("a.txt", b"fine\nb\xe4d\n", "a.txt, line 2, is not UTF-8 text (byte 0xE4 at position 2)"),
        ("a.txt", "héllo".encode("utf-16"), "UTF-16"),
        ("a.pdf", b"%PDF", "none of .txt, .tsv, .csv, .jsonl, .ndjson"),
        ("a", b"x", "none of"),
        ("a.txt", b"x" * (LONGEST + 1), f"line 1: a text has {LONGEST + 1:,} characters"),
        ("a.txt", b"x\n" * (MOST + 1), f"more than {MOST} prompts"),
        ("a.txt", b"x" * (MOST_BYTES + 1), "1,000,000 are read at the most"),
        (
            "a.csv",
            b"text,reference\na,b\n",
            "text, reference could be texts or names of columns; name them in the first line: source",
        ),
        ("a.csv", b"source,reference\na\n", "line 2: the line has 1 column and the first one 2"),
        ("a.csv", b'source\n"a\n', "a.csv, line 2: it is not CSV"),
        ("a.csv", b"source\n" + b"x" * 140_000, "line 2: a text has 140,000 characters"),
        ("a.jsonl", b'{"source": "a"}\nnope\n', "a.jsonl, line 2: the line is not JSON"),
        ("a.jsonl", b"[" * 200_000, "a.jsonl, line 1: the line is not JSON"),
        ("a.jsonl", b'["a"]', "the line is no JSON object"),
        ("a.jsonl", b'{"source": 5}', "'source' is not a text but the value 5"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(name, data, sentence):
    with pytest.raises(InputError) as caught:
        read_prompts(name, data)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


def test_the_name_of_a_file_is_shown_on_one_line_without_turning_marks():
    with pytest.raises(InputError) as caught:
        read_prompts("\u202eevil\n" + "x" * 300 + ".exe", b"x")
    assert "\u202e" not in str(caught.value)
    assert len(str(caught.value)) < 150


def test_a_full_file_is_read_whole():
    lines = [json.dumps({"source": f"Prompt {n}."}) for n in range(MOST)]
    assert len(read_prompts("a.jsonl", "\n".join(lines).encode())) == MOST
