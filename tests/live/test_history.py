"""What one visit remembers, and how much of it at the most."""

from hybrid.live import Request
from hybrid.live import history as module
from hybrid.live.history import Entry, append, summarize, table
from hybrid.schema import Sampling
from tests.live.made import generation


def entry(text: str) -> Entry:
    answers = {"llm": generation("llm", [0.1, 0.19]), "hybrid": generation("hybrid", [0.02, 0.09])}
    request = Request("summarize", text, Sampling(8), "A reference.")
    return Entry("2026-11-23T01:45:12+00:00", "tiny", request, summarize(answers), {"llm": "onnx, int8"})


def test_the_newest_comes_first_and_the_oldest_go():
    history: tuple[Entry, ...] = ()
    for n in range(module.MOST + 5):
        history = append(history, entry(f"Prompt {n}."))
    assert len(history) == module.MOST
    assert history[0].request.text == f"Prompt {module.MOST + 4}."
    assert history[-1].request.text == "Prompt 5."


def test_long_prompts_leave_room_for_fewer_and_the_last_is_always_kept():
    history = append((), entry("a"))
    history = append(history, entry("b" * (module.MOST_CHARACTERS // 2)))
    assert len(history) == 2
    history = append(history, entry("c" * (module.MOST_CHARACTERS // 2)))
    assert [past.request.text[0] for past in history] == ["c"]
    history = append(history, entry("d" * 2 * module.MOST_CHARACTERS))
    assert [past.request.text[0] for past in history] == ["d"]


def test_the_table_has_a_row_for_each_answer():
    listing = table([entry("Prompt.")])
    rows = [dict(zip(listing.columns, row, strict=True)) for row in listing.rows]
    assert [row["system"] for row in rows] == ["llm", "hybrid"]
    assert [row["total_ms"] for row in rows] == [200, 100]
    assert [row["speed-up"] for row in rows] == [1, 2]
    assert [row["tpot_ms"] for row in rows] == [90, 70]
    assert rows[0]["engine"] == "onnx, int8"
    assert {row["prompt"] for row in rows} == {"Prompt."}
    assert {row["reference"] for row in rows} == {"A reference."}
    assert rows[1]["answer"] == "ab"
