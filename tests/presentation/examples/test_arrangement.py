"""Examples found, sorted and laid side by side, against the same worked out record by record."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from hybrid.benchmark.scoring import score_run
from hybrid.metrics import METRICS
from hybrid.presentation.difference import Part
from hybrid.presentation.examples.answers import read_answers
from hybrid.presentation.examples.arrangement import ORDERS, Examples, Query, arrange, find, orders
from hybrid.presentation.examples.cards import COLUMNS, cards, columns, rows
from hybrid.schema import Record, Sampling, System
from hybrid.store import StoredRun, load_run
from tests.made_runs import rewrite_lines, store_run

SYSTEMS = ("llm", "slm", "hybrid")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def arranged(tmp_path: Path) -> Callable[..., tuple[StoredRun, Examples]]:
    """arranged(...) is a run of store_run(...), as stored and by example."""

    def make(**settings: object) -> tuple[StoredRun, Examples]:
        run_id = store_run(tmp_path, **settings)
        stored = load_run(run_id, tmp_path)
        return stored, arrange(read_answers(run_id, tmp_path), stored.run.plan.systems)

    return make


def of(stored: StoredRun, example_id: str, system: str) -> list[Record]:
    records = [
        record for record in stored.records if (record.example_id, record.system) == (example_id, system)
    ]
    return sorted(records, key=lambda record: record.repeat)


def score(records: Sequence[Record]) -> float:
    return float(METRICS["bleu"].score(np.array(records[0].statistics["bleu"]), 1))


def total_ms(records: Sequence[Record]) -> float:
    return median(1000 * record.generation.timing.total_s for record in records)


def test_each_figure_is_that_of_the_records(arranged: Callable[..., tuple[StoredRun, Examples]]):
    stored, examples = arranged(examples=7, repeats=3)
    assert examples.metric == "bleu"
    assert examples.repeats == 3
    for place, example_id in enumerate(examples.ids):
        llm = of(stored, example_id, "llm")
        for system in SYSTEMS:
            records, side = of(stored, example_id, system), examples.sides[system]
            first = records[0].generation
            assert side.total_ms[place] == pytest.approx(total_ms(records), abs=1e-3)
            assert side.ttft_ms[place] == pytest.approx(
                median(1000 * record.generation.timing.ttft_s for record in records), abs=1e-3
            )
            assert side.score[place] == pytest.approx(score(records), abs=1e-3)
            assert side.loss[place] == pytest.approx(score(llm) - score(records), abs=1e-3)
            assert side.speedup[place] == pytest.approx(total_ms(llm) / total_ms(records), rel=1e-4)
            assert side.output_tokens[place] == len(first.token_ids)
            assert side.prompt_tokens[place] == first.prompt_tokens
            assert side.differs[place] == (first.text != llm[0].generation.text)
            assert examples.table["text"].iloc[side.row[place]] == first.text


KEYS: dict[str, Callable[[Sequence[Record], Sequence[Record]], float]] = {
    "loss": lambda own, llm: score(own) - score(llm),
    "gain": lambda own, llm: score(llm) - score(own),
    "speedup": lambda own, llm: -total_ms(llm) / total_ms(own),
    "slowdown": lambda own, llm: total_ms(llm) / total_ms(own),
    "slowest": lambda own, _: -total_ms(own),
    "fastest": lambda own, _: total_ms(own),
    "output": lambda own, _: -len(own[0].generation.token_ids),
    "prompt": lambda own, _: -own[0].generation.prompt_tokens,
    "id": lambda own, _: int(own[0].example_id.rpartition("-")[2]),
}


def test_every_order_sorts_as_it_says(arranged: Callable[..., tuple[StoredRun, Examples]]):
    stored, examples = arranged(examples=25)
    assert KEYS.keys() == ORDERS.keys()
    answered = {
        example_id: (of(stored, example_id, "hybrid"), of(stored, example_id, "llm"))
        for example_id in examples.ids
    }
    for order, key in KEYS.items():
        places = find(examples, Query(order, "hybrid", SYSTEMS))
        assert sorted(places.tolist()) == list(range(25))
        keys = [key(*answered[examples.ids[place]]) for place in places]
        # Scores and times of the table are rounded to four digits: as good as equal may change places.
        assert all(before <= after + 2e-3 * abs(after) for before, after in pairwise(keys)), order
        assert min(keys) < max(keys)


def test_numbers_in_ids_sort_by_size(tmp_path: Path, arranged: Callable[..., tuple[StoredRun, Examples]]):
    _, examples = arranged(examples=12)
    assert [name for name in examples.ids if name.startswith("news")] == [f"news-{i}" for i in range(12)]
    assert examples.place("news-7") == list(examples.ids).index("news-7")
    assert examples.place("news-70") is None


def test_filters_keep_what_they_say(arranged: Callable[..., tuple[StoredRun, Examples]]):
    stored, examples = arranged(examples=30)
    texts = {example.id: example for example in stored.examples}

    def ids(**query: object) -> set[str]:
        return {examples.ids[place] for place in find(examples, Query("id", "hybrid", SYSTEMS, **query))}

    def text(example_id: str, system: str) -> str:
        return of(stored, example_id, system)[0].generation.text

    differing = {example_id for example_id in texts if text(example_id, "hybrid") != text(example_id, "llm")}
    assert ids(differs=True) == differing
    assert len(differing) > 0
    assert ids(domain="travel") == {example.id for example in stored.examples if example.domain == "travel"}
    assert ids(domain="nowhere") == set()
    for query in ("BRÜCKE", "source 1", "zug fährt", "nowhere to be found", ".", "a|b", "%", "\\d", "^"):
        assert ids(contains=query) == {
            example.id
            for example in stored.examples
            if any(
                query.lower() in part.lower()
                for part in (
                    example.source,
                    *example.references,
                    *(text(example.id, system) for system in SYSTEMS),
                )
            )
        }, query
    assert ids(differs=True, domain="news", contains="zug") == (
        ids(differs=True) & ids(domain="news") & ids(contains="zug")
    )


def test_answers_that_stopped_at_the_limit(tmp_path: Path):
    run_id = store_run(tmp_path, examples=4)
    records = tmp_path / run_id / "records.jsonl"
    lines = records.read_text("utf-8").splitlines(keepends=True)
    hybrids = [place for place, line in enumerate(lines) if '"system":"hybrid"' in line]
    stem = lines[hybrids[2]].partition(',"phases_us"')[0]
    rewrite_lines(records, lambda line: line.replace('"eos"', '"length"') if line.startswith(stem) else line)
    examples = arrange(read_answers(run_id, tmp_path), SYSTEMS)
    cut = find(examples, Query("id", "llm", SYSTEMS, stopped=True)).tolist()
    assert len(cut) == 1
    assert f'"example":"{examples.ids[cut[0]]}"' in lines[hybrids[2]]
    assert find(examples, Query("id", "llm", ("llm", "slm"), stopped=True)).tolist() == []
    (card,) = cards(examples, cut, SYSTEMS)
    assert [answer.stopped for answer in card.answers] == [False, False, True]


def test_a_run_that_is_not_complete_has_gaps(arranged: Callable[..., tuple[StoredRun, Examples]]):
    stored, examples = arranged(
        examples=6, answered=0.5, systems=(System("slm"), System("hybrid"), System("llm"))
    )  # 9 of 18
    assert len(examples.ids) == 3
    stored, examples = arranged(
        number=1, examples=6, answered=4 / 18, systems=(System("slm"), System("hybrid"), System("llm"))
    )
    last = next(place for place in range(2) if examples.sides["llm"].row[place] < 0)
    assert np.isnan(examples.sides["slm"].speedup[last])
    assert np.isnan(examples.sides["slm"].loss[last])
    assert not examples.sides["slm"].differs[last]
    assert find(examples, Query("loss", "slm")).tolist()[-1] == last
    (card,) = cards(examples, [last], ("slm", "hybrid", "llm"), "llm")
    assert [answer.system for answer in card.answers] == ["slm"]
    assert {part.kind for part in card.answers[0].parts} == {"same"}  # nothing to differ from
    assert len(list(rows(examples, np.arange(2), ("slm", "hybrid", "llm")))) == len(stored.records) == 4


def test_a_run_without_answers(arranged: Callable[..., tuple[StoredRun, Examples]]):
    _, examples = arranged(examples=3, answered=0.0)
    assert len(examples.ids) == 0
    assert find(examples, Query("loss", "hybrid", SYSTEMS, differs=True, contains="x")).tolist() == []


def test_orders_that_say_nothing_are_not_offered():
    assert orders("hybrid", SYSTEMS, scored=True) == list(ORDERS)
    without = ["slowest", "fastest", "output", "prompt", "id"]
    assert orders("llm", SYSTEMS, scored=True) == without
    assert orders("hybrid", ("slm", "hybrid"), scored=True) == without
    assert orders("hybrid", SYSTEMS, scored=False) == ["speedup", "slowdown", *without]


def test_without_scores_there_is_no_metric(tmp_path: Path):
    run_id = store_run(tmp_path, examples=3, sampling=Sampling(64, ignore_eos=True))
    records = tmp_path / run_id / "records.jsonl"
    rewrite_lines(records, lambda line: line.partition('"statistics"')[0] + '"statistics":{}}')
    examples = arrange(read_answers(run_id, tmp_path), SYSTEMS)
    assert examples.metric is None
    assert np.isnan(examples.sides["hybrid"].loss).all()
    assert {row[list(COLUMNS).index("score")] for row in rows(examples, np.arange(3), SYSTEMS)} == {None}


def test_a_summary_is_scored_by_rouge(arranged: Callable[..., tuple[StoredRun, Examples]]):
    stored, examples = arranged(examples=4, task="summarize")
    assert examples.metric == "rougeL"
    statistics = of(stored, examples.ids[0], "slm")[0].statistics["rougeL"]
    assert examples.sides["slm"].score[0] == pytest.approx(
        float(METRICS["rougeL"].score(np.array(statistics), 1)), abs=1e-3
    )


def test_a_card_holds_texts_and_differences(arranged: Callable[..., tuple[StoredRun, Examples]]):
    stored, examples = arranged(examples=5)
    example = next(example for example in stored.examples if example.id == examples.ids[3])
    for against in ("reference", "llm", "nothing"):
        (card,) = cards(examples, [3], ("hybrid", "llm"), against)
        assert (card.id, card.domain, card.source) == (example.id, example.domain, example.source)
        assert tuple(card.references) == example.references
        assert [answer.system for answer in card.answers] == ["hybrid", "llm"]
        for answer in card.answers:
            own = of(stored, example.id, answer.system)[0].generation.text
            llm = of(stored, example.id, "llm")[0].generation.text
            new = "".join(part.text for part in answer.parts if part.kind != "removed")
            old = "".join(part.text for part in answer.parts if part.kind != "added")
            assert new == own
            assert old == {"reference": example.references[0], "llm": llm, "nothing": own}[against]
    assert card.answers[1].figures["speedup"] == 1.0
    assert card.answers[1].figures["loss"] == 0.0


def test_of_several_references_the_closest_is_compared(tmp_path: Path):
    run_id = store_run(tmp_path, examples=1, texts=["ein Haus am Fluss"])
    path = tmp_path / run_id / "examples.jsonl"
    more = '"references":["etwas ganz anderes","ein Haus","'
    rewrite_lines(path, lambda line: line.replace('"references":["', more))
    examples = arrange(read_answers(run_id, tmp_path), SYSTEMS)
    (card,) = cards(examples, [0], ("hybrid",))
    assert list(card.references) == ["etwas ganz anderes", "ein Haus", "ein Haus am Fluss"]
    assert tuple(card.answers[0].parts) == (Part("same", "ein Haus am Fluss"),)


def test_a_metric_that_was_scored_later_is_a_figure_and_a_column(
    arranged: Callable[..., tuple[StoredRun, Examples]], tmp_path: Path
):
    stored, examples = arranged(examples=4)
    assert (examples.others, columns(examples)) == ((), list(COLUMNS))
    score_run(stored.run.run_id, root=tmp_path)
    examples = arrange(read_answers(stored.run.run_id, tmp_path), SYSTEMS)
    (card,) = cards(examples, [0], ("hybrid",))
    (row, *_) = rows(examples, np.arange(1), ("hybrid",))
    assert row[columns(examples).index("repetition")] == card.answers[0].others["repetition"] is not None


def test_rows_are_all_answers_in_order(arranged: Callable[..., tuple[StoredRun, Examples]]):
    stored, examples = arranged(examples=6)
    places = find(examples, Query("loss", "hybrid"))
    table = [dict(zip(COLUMNS, row, strict=True)) for row in rows(examples, places, ("hybrid", "llm"))]
    assert [(row["example_id"], row["system"]) for row in table] == [
        (examples.ids[place], system) for place in places for system in ("hybrid", "llm")
    ]
    for row in table:
        (record,) = of(stored, row["example_id"], row["system"])
        assert row["text"] == record.generation.text
        assert row["total_ms"] == pytest.approx(1000 * record.generation.timing.total_s, abs=1e-4)
        assert row["metric"] == "bleu"
        assert row["finish_reason"] == "eos"
    assert [row["loss"] for row in table[::2]] == sorted((row["loss"] for row in table[::2]), reverse=True)


def test_ids_made_to_be_slow_to_sort_are_sorted(tmp_path: Path):
    run_id = store_run(tmp_path, examples=3)
    long = "9" * 6000  # more digits than Python turns into a number
    for name in ("examples.jsonl", "records.jsonl"):
        path = tmp_path / run_id / name
        rewrite_lines(path, lambda line: line.replace('news-2"', f'news-{long}"'))
    examples = arrange(read_answers(run_id, tmp_path), SYSTEMS)
    assert [name[:8] for name in examples.ids] == ["news-0", "news-1", "news-999"]
