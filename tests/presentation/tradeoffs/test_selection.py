"""What differs between runs on one figure; colours, symbols and names that tell systems apart."""

from collections.abc import Callable
from dataclasses import replace

from hybrid.presentation.charts import SYSTEM_COLORS
from hybrid.presentation.runs.digest import RunDigest
from hybrid.presentation.tradeoffs.selection import differences_of, marks_of, ordered, tags_of
from hybrid.schema import Run, System
from hybrid.store import StoredRun


def run(fake_run: Callable[..., StoredRun], run_id: str, **plan: object) -> Run:
    return fake_run(run_id=run_id, **plan).run


def elsewhere(original: Run, **environment: object) -> Run:
    return replace(original, environment=replace(original.environment, **environment))


def test_runs_made_alike_differ_in_nothing(fake_run: Callable[..., StoredRun]):
    differences = differences_of([run(fake_run, "a"), run(fake_run, "b", engine="onnx")])
    assert (differences.kinds, differences.flag) == ((), "")
    assert differences.groups["a"] == differences.groups["b"]
    assert len(differences.sentences) == 1  # the engine: to be known, though the figure shows it


def test_another_machine_is_flagged_and_stands_apart(fake_run: Callable[..., StoredRun]):
    other = elsewhere(run(fake_run, "b"), device_name="<b>H200</b>", cpu="Another CPU")
    differences = differences_of([run(fake_run, "a"), other])
    assert differences.kinds == ("machine",)
    assert differences.flag == "These runs differ in machine: do not compare across them"
    assert differences.groups["a"] != differences.groups["b"]
    assert "H200" not in differences.flag
    assert "H200" in differences.sentences[0]


def test_other_software_is_flagged_and_stays_comparable(fake_run: Callable[..., StoredRun]):
    other = elsewhere(run(fake_run, "b"), python="3.12.0", packages={"torch": "2.14"})
    differences = differences_of([run(fake_run, "a"), other])
    assert differences.flag == "These runs differ in software"
    assert differences.groups["a"] == differences.groups["b"]


def test_other_texts_threads_and_batches_stand_apart(fake_run: Callable[..., StoredRun]):
    runs = [
        run(fake_run, "a"),
        run(fake_run, "b", examples=4),
        run(fake_run, "c", threads=2),
        run(fake_run, "d", batch_size=8),
        run(fake_run, "e", limit=2),
    ]
    differences = differences_of(runs)
    assert set(differences.kinds) == {"texts", "threads", "batch size"}
    assert len(set(differences.groups.values())) == 5


def test_one_run_has_nothing_to_differ_from(fake_run: Callable[..., StoredRun]):
    assert differences_of([run(fake_run, "a")]).kinds == ()


def of(run_id: str, *systems: str) -> RunDigest:
    rows = {system: {"engine": system.engine or "onnx"} for system in map(System.parse, systems)}
    return RunDigest(run_id, rows, {}, ())


def test_in_one_run_the_colour_is_the_method_and_the_symbol_the_engine():
    marks = marks_of([of("a-1", "llm", "hybrid", "llm@torch", "hybrid@torch")])
    assert {marks["a-1", system].color for system in ("llm", "llm@torch")} == {SYSTEM_COLORS["llm"]}
    assert marks["a-1", "llm"].symbol == marks["a-1", "hybrid"].symbol == "circle"
    assert marks["a-1", "llm@torch"].symbol == marks["a-1", "hybrid@torch"].symbol != "circle"
    assert marks["a-1", "llm"].dash != marks["a-1", "llm@torch"].dash
    assert [mark.name for mark in marks.values()] == [
        "LLM alone", "Hybrid", "LLM alone in torch", "Hybrid in torch"
    ]  # fmt: skip


def test_several_runs_have_a_symbol_and_a_tag_each():
    marks = marks_of([of("20261123-x-d653", "llm"), of("20261123-x-c13e", "llm", "slm")])
    assert [mark.name for mark in marks.values()] == [
        "LLM alone (run d653)", "LLM alone (run c13e)", "SLM alone (run c13e)"
    ]  # fmt: skip
    assert len({mark.symbol for mark in marks.values()}) == 2
    engines = marks_of([of("a-1", "llm", "llm@torch"), of("b-2", "llm")])
    assert len({mark.symbol for mark in engines.values()}) == 3


def test_tags_are_never_the_same():
    assert tags_of(["a-1", "b-2"]) == {"a-1": "1", "b-2": "2"}
    assert tags_of(["a-1", "b-1", "c"]) == {"a-1": "a-1", "b-1": "b-1", "c": "c"}


def test_a_plans_own_engine_comes_first():
    systems = ["hybrid@torch", "lossless", "llm@torch", "hybrid", "slm", "llm"]
    assert ordered(map(System.parse, systems)) == [
        "llm", "slm", "hybrid", "lossless", "llm@torch", "hybrid@torch"
    ]  # fmt: skip
