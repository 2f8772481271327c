"""One colour a method, symbols by engine or by run, names that tell all apart."""

from hybrid.presentation.charts import SYSTEM_COLORS
from hybrid.presentation.views.digest import Digest
from hybrid.presentation.views.tradeoffs.marks import marks, ordered, tags_of
from hybrid.schema import System


def of(run_id: str, *systems: str) -> Digest:
    rows = {system: {"engine": system.engine or "onnx"} for system in map(System.parse, systems)}
    return Digest(run_id, rows, {}, ())


def test_in_one_run_the_colour_is_the_method_and_the_symbol_the_engine():
    found = marks([of("a-1", "llm", "hybrid", "llm@torch", "hybrid@torch")])
    assert {found["a-1", one].color for one in ("llm", "llm@torch")} == {SYSTEM_COLORS["llm"]}
    assert found["a-1", "llm"].symbol == found["a-1", "hybrid"].symbol == "circle"
    assert found["a-1", "llm@torch"].symbol == found["a-1", "hybrid@torch"].symbol != "circle"
    assert found["a-1", "llm"].dash != found["a-1", "llm@torch"].dash
    assert [one.name for one in found.values()] == [
        "LLM alone", "Hybrid", "LLM alone in torch", "Hybrid in torch"
    ]  # fmt: skip


def test_several_runs_have_a_symbol_and_a_tag_each():
    found = marks([of("20261123-x-d653", "llm"), of("20261123-x-c13e", "llm", "slm")])
    assert [one.name for one in found.values()] == [
        "LLM alone (run d653)", "LLM alone (run c13e)", "SLM alone (run c13e)"
    ]  # fmt: skip
    assert len({one.symbol for one in found.values()}) == 2
    engines = marks([of("a-1", "llm", "llm@torch"), of("b-2", "llm")])
    assert len({one.symbol for one in engines.values()}) == 3


def test_tags_are_never_the_same():
    assert tags_of(["a-1", "b-2"]) == {"a-1": "1", "b-2": "2"}
    assert tags_of(["a-1", "b-1", "c"]) == {"a-1": "a-1", "b-1": "b-1", "c": "c"}


def test_a_plans_own_engine_comes_first():
    systems = ["hybrid@torch", "lossless", "llm@torch", "hybrid", "slm", "llm"]
    assert ordered(map(System.parse, systems)) == [
        "llm", "slm", "hybrid", "lossless", "llm@torch", "hybrid@torch"
    ]  # fmt: skip
