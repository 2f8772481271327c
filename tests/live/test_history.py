"""What one visit remembers, and how much of it at the most."""

from hybrid.live import Request
from hybrid.live import history as module
from hybrid.live.history import Entry, append, summarize, table
from hybrid.schema import Sampling
from tests.live.made import made


def entry(text: str) -> Entry:
    answers = {"llm": made("llm", [0.1, 0.19]), "hybrid": made("hybrid", [0.02, 0.09])}
    request = Request("summarize", text, Sampling(8), "A reference.")
    return Entry("2026-11-23T01:45:12+00:00", "tiny", request, summarize(answers), {"llm": "onnx, int8"})


def test_the_newest_comes_first_and_the_oldest_go():
    found: tuple[Entry, ...] = ()
    for n in range(module.MOST + 5):
        found = append(found, entry(f"Prompt {n}."))
    assert len(found) == module.MOST
    assert found[0].request.text == f"Prompt {module.MOST + 4}."
    assert found[-1].request.text == "Prompt 5."


def test_long_prompts_leave_room_for_fewer_and_the_last_is_always_kept():
    found = append((), entry("a"))
    found = append(found, entry("b" * (module.MOST_CHARACTERS // 2)))
    assert len(found) == 2
    found = append(found, entry("c" * (module.MOST_CHARACTERS // 2)))
    assert [one.request.text[0] for one in found] == ["c"]
    found = append(found, entry("d" * 2 * module.MOST_CHARACTERS))
    assert [one.request.text[0] for one in found] == ["d"]


def test_the_table_has_a_row_for_each_answer():
    found = table([entry("Prompt.")])
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    assert [row["system"] for row in rows] == ["llm", "hybrid"]
    assert [row["total_ms"] for row in rows] == [200, 100]
    assert [row["speed-up"] for row in rows] == [1, 2]
    assert [row["tpot_ms"] for row in rows] == [90, 70]
    assert rows[0]["engine"] == "onnx, int8"
    assert {row["prompt"] for row in rows} == {"Prompt."}
    assert {row["reference"] for row in rows} == {"A reference."}
    assert rows[1]["answer"] == "ab"
