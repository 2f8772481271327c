"""A digest says what `hybrid export` and `hybrid compare` say, and is kept until the run changes."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from hybrid.compare import COLUMNS, compare_runs, summaries
from hybrid.errors import StoreError
from hybrid.presentation.examples.answers import read_answers
from hybrid.presentation.runs import digest as module
from hybrid.presentation.runs.catalog import catalog
from hybrid.presentation.runs.digest import headlines, machines, run_digest
from hybrid.presentation.tradeoffs.results import tradeoffs
from hybrid.schema import Hardware, Sampling, System
from hybrid.store import load_run
from tests.made_runs import TOKEN_S, store_run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))


def test_it_repeats_export_and_compare(tmp_path: Path):
    run_id = store_run(tmp_path, examples=10)
    digest, stored = run_digest(run_id, tmp_path), load_run(run_id, tmp_path)
    assert list(digest.rows.values()) == summaries(stored)
    assert all(list(row) == list(COLUMNS) for row in digest.rows.values())
    comparison = compare_runs([stored], "llm")
    assert digest.verdicts == {system.summary.system: system.verdict for system in comparison.systems}
    assert digest.warnings == comparison.warnings
    assert digest.remarks == comparison.remarks != ()


def test_characters_stand_beside_tokens_where_these_are_of_two_tokenizers(tmp_path: Path):
    stored = load_run(store_run(tmp_path, examples=4), tmp_path)
    assert module.run_digest_of(stored).pace == ""
    digest = module.run_digest_of(replace(stored, run=replace(stored.run, two_tokenizers=True)))
    for system, row in digest.rows.items():
        assert (
            f"{system} {row['tokens_per_s']:,.0f} tokens or {row['characters_per_s']:,.0f} c" in digest.pace
        )
    assert any("different tokenizers" in warning for warning in digest.warnings)


def test_a_complete_run_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_id = store_run(tmp_path, examples=4)
    first = run_digest(run_id, tmp_path)
    monkeypatch.setattr(module, "load_run", None)
    assert run_digest(run_id, tmp_path) == first


def test_a_run_that_was_written_to_is_computed_anew(tmp_path: Path):
    run_id = store_run(tmp_path, examples=4)
    assert not run_digest(run_id, tmp_path).warnings[1:]
    records = tmp_path / run_id / "records.jsonl"
    records.write_bytes(records.read_bytes().replace(b'"finish":"eos"', b'"finish":"nonsense"', 1))
    assert any("line 1, is damaged" in warning for warning in run_digest(run_id, tmp_path).warnings)


def test_a_damaged_copy_is_made_anew(tmp_path: Path):
    run_id = store_run(tmp_path, examples=4)
    first = run_digest(run_id, tmp_path)
    for path in (tmp_path / "cache" / "views").iterdir():
        path.write_text('{"rows": ', "utf-8")
    assert run_digest(run_id, tmp_path) == first


def test_no_changed_byte_of_a_copy_is_believed(tmp_path: Path):
    """A digit that was changed, a bit flipped anywhere, a copy of another run's file under this name."""
    run_id, other = (store_run(tmp_path, number, examples=4) for number in range(2))
    read: dict[str, Callable[[], object]] = {
        "digest": lambda: run_digest(run_id, tmp_path),
        "answers": lambda: read_answers(run_id, tmp_path).to_csv(),
        "tradeoffs": lambda: tradeoffs(run_id, tmp_path),
    }
    whole = {name: reading() for name, reading in read.items()}
    read_answers(other, tmp_path)
    views, draw = tmp_path / "cache" / "views", random.Random(4)
    for name, reading in read.items():
        (path,) = views.glob(f"{name}-*{run_id}*")
        data = path.read_bytes()
        for place in draw.sample(range(len(data)), 12):
            flipped = bytearray(data)
            flipped[place] ^= 1 << draw.randrange(8)
            path.write_bytes(flipped)
            assert reading() == whole[name]
            assert path.read_bytes() == data
        for wrong in (b"", data[:10], data[: len(data) // 2], data + b"x"):
            path.write_bytes(wrong)
            assert reading() == whole[name]
    (answers,), (others,) = (views.glob(f"answers-*{of_run}*") for of_run in (run_id, other))
    answers.write_bytes(others.read_bytes())
    assert read["answers"]() == whole["answers"]


def test_without_a_folder_to_keep_it_in_it_is_computed_each_time(tmp_path: Path):
    (tmp_path / "cache").write_text("no folder", "utf-8")
    run_id = store_run(tmp_path, examples=4)
    assert run_digest(run_id, tmp_path) == run_digest(run_id, tmp_path)


def test_a_run_without_the_llm_says_why_there_is_no_verdict(tmp_path: Path):
    digest = run_digest(store_run(tmp_path, examples=4, systems=(System("slm"), System("hybrid"))), tmp_path)
    assert set(digest.rows) == {"slm", "hybrid"}
    assert not digest.verdicts
    assert "baseline llm" in digest.why


def test_a_run_without_answers_has_no_rows(tmp_path: Path):
    digest = run_digest(store_run(tmp_path, examples=4, answered=0.0), tmp_path)
    assert not digest.rows
    assert "no answers yet" in digest.why


def newest(root: Path):
    return headlines(catalog(root).entries, partial(run_digest, root=root))


def test_one_headline_a_kind_of_run_the_newest_first(tmp_path: Path):
    for number, (suite, device) in enumerate([("a", "CPU"), ("a", "CPU"), ("b", "CPU"), ("a", "GPU")]):
        store_run(tmp_path, number, examples=4, suite=suite, device_name=device)
    assert [headline.entry.run_id for headline in newest(tmp_path)] == ["made-0003", "made-0002", "made-0001"]


def test_machines_of_one_name_have_a_card_each(tmp_path: Path):
    for number in range(3):
        store_run(tmp_path, number, examples=4, device_name="AMD EPYC")
    old, new = (Hardware(vendor="AuthenticAMD", family=family, model="2") for family in ("25", "26"))
    entries = [
        replace(entry, hardware=hardware)
        for entry, hardware in zip(catalog(tmp_path).entries, (new, old, Hardware()), strict=True)
    ]
    entries = [headline.entry for headline in headlines(entries, partial(run_digest, root=tmp_path))]
    assert [entry.run_id for entry in entries] == ["made-0002", "made-0001"]
    assert list(machines(entries).values()) == ["AMD EPYC, family 26 model 2", "AMD EPYC, family 25 model 2"]
    assert list(machines(entries[:1]).values()) == ["AMD EPYC"]


def test_a_few_examples_or_a_busy_machine_do_not_take_the_headline(tmp_path: Path):
    for number, examples in enumerate([6, 8, 6]):
        store_run(tmp_path, number, examples=examples)
    assert [headline.entry.run_id for headline in newest(tmp_path)] == ["made-0001"]
    entries = [
        replace(entry, busy=("others took 50 %",) if entry.run_id == "made-0001" else ())
        for entry in catalog(tmp_path).entries
    ]
    (headline,) = headlines(entries, partial(run_digest, root=tmp_path))
    assert headline.entry.run_id == "made-0002"


def test_a_run_of_few_examples_is_a_headline_only_where_its_task_has_no_other(tmp_path: Path):
    store_run(tmp_path, 0, examples=100)
    store_run(tmp_path, 1, examples=6, device_name="a faster GPU", engine="torch")
    store_run(tmp_path, 2, examples=6, suite="briefs", task="summarize")
    large, few = newest(tmp_path)
    assert [(large.entry.run_id, large.quick), (few.entry.run_id, few.quick)] == [
        ("made-0000", False), ("made-0002", True),
    ]  # fmt: skip
    for n, whole, quick in ((84, True, False), (84, False, True), (49, True, True), (100, False, False)):
        assert replace(few, n=n, entry=replace(few.entry, whole=whole)).quick == quick


def test_the_engine_in_which_the_llm_answers_soonest_stands_for_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Though its hybrid is ahead by less, and though a slower engine was measured later."""
    slow, ahead = {"llm": 2.4e-3, "hybrid": 0.28e-3}, {"llm": 0.6e-3, "hybrid": 0.2e-3}
    for number, (engine, token_s) in enumerate([("onnx", ahead), ("onnx", ahead), ("torch", slow)]):
        for method, seconds in token_s.items():
            monkeypatch.setitem(TOKEN_S, method, seconds)
        store_run(tmp_path, number, examples=6, engine=engine)
    (headline,) = newest(tmp_path)
    assert headline.entry.run_id == "made-0001"
    assert headline.speedup < run_digest("made-0002", tmp_path).rows["hybrid"]["speedup_end_to_end"]


def test_what_was_asked_keeps_its_place(tmp_path: Path):
    for number, task in enumerate(["translate-en-de", "summarize", "translate-en-de", "summarize"]):
        store_run(tmp_path, number, examples=4, suite=task, task=task, device_name=f"CPU {number}")
    run_ids = [headline.entry.run_id for headline in newest(tmp_path)]
    assert run_ids == ["made-0002", "made-0000", "made-0003", "made-0001"]


def test_figures_are_those_of_the_export(tmp_path: Path):
    run_id = store_run(tmp_path, examples=10)
    (headline,) = newest(tmp_path)
    rows = run_digest(run_id, tmp_path).rows
    assert headline.speedup == rows["hybrid"]["speedup_end_to_end"]
    assert (headline.low, headline.high) == tuple(
        rows["hybrid"][f"speedup_end_to_end_{end}"] for end in ("low", "high")
    )
    assert headline.quality_kept == pytest.approx(rows["hybrid"]["bleu"] / rows["llm"]["bleu"])
    assert (headline.metric, headline.n) == ("BLEU", 10)
    assert headline.verdict == run_digest(run_id, tmp_path).verdicts["hybrid"]
    assert headline.warnings == run_digest(run_id, tmp_path).warnings


def test_incomplete_runs_and_those_of_other_systems_are_passed_over(tmp_path: Path):
    store_run(tmp_path, 0, examples=4)
    store_run(tmp_path, 1, examples=4, systems=(System("llm"), System("slm")))
    store_run(tmp_path, 2, examples=4, answered=0.5)
    assert [headline.entry.run_id for headline in newest(tmp_path)] == ["made-0000"]


def test_a_run_that_cannot_be_read_gives_way_to_an_older_one(tmp_path: Path):
    for number in range(2):
        store_run(tmp_path, number, examples=4)

    def reading(run_id: str):
        if run_id == "made-0001":
            raise StoreError("It is damaged.")
        return run_digest(run_id, tmp_path)

    assert [headline.entry.run_id for headline in headlines(catalog(tmp_path).entries, reading)] == [
        "made-0000"
    ]


def test_a_run_of_fixed_length_has_no_quality(tmp_path: Path):
    store_run(tmp_path, examples=4, sampling=Sampling(16, ignore_eos=True))
    (headline,) = newest(tmp_path)
    assert headline.quality_kept is None
    assert headline.speedup > 1
