"""The first page without a browser: headlines, empty folder, damage."""

from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.compare import summaries
from hybrid.format import amount, milliseconds, percent
from hybrid.schema import System
from hybrid.store import load_run
from tests.made_runs import store_run

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    st.cache_resource.clear()
    return tmp_path / "results"


def arrive(**address: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in address.items():
        page.query_params[name] = value
    page = page.run()
    assert not page.exception
    return page


def test_an_empty_folder_says_how_to_make_a_run(results: Path):
    page = arrive()
    assert page.title[0].value == "A large model reads, a small model writes"
    assert any("hybrid bench everyday-en-de" in text.value for text in page.text)
    assert not page.metric


def tables(page: AppTest) -> list[pd.DataFrame]:
    return [table.value for table in page.table]


def test_a_tasks_best_run_is_shown_with_its_systems_side_by_side(results: Path):
    few, most = store_run(results, 0, examples=10), store_run(results, 1, examples=30, suite="other")
    page = arrive()
    (table,) = tables(page)
    assert list(table.index) == ["LLM alone", "SLM alone", "Hybrid"]
    assert list(table) == ["Size", "Time an answer", "BLEU, 0 to 100", "Memory"]
    rows = {row["system"]: row for row in summaries(load_run(most, results))}
    assert list(table["Time an answer"]) == [
        milliseconds(rows[name]["total_ms_p50"] / 1000) for name in ("llm", "slm", "hybrid")
    ]
    assert list(table["BLEU, 0 to 100"]) == [amount(rows[name]["bleu"]) for name in ("llm", "slm", "hybrid")]
    speedup, kept = rows["hybrid"]["speedup_end_to_end"], rows["hybrid"]["bleu"] / rows["llm"]["bleu"]
    speed = f"The hybrid answers {amount(speedup)} times as fast as the LLM"
    words = f"{speed} and keeps {percent(kept, 1)} of its BLEU; the SLM alone answers"
    assert any(text.value.startswith(words) for text in page.text)
    assert few not in page.selectbox(key="pin-translate-en-de").value


def test_another_run_is_pinned_by_the_address(results: Path):
    few, most = store_run(results, 0, examples=10), store_run(results, 1, examples=30, suite="other")
    assert arrive().selectbox(key="pin-translate-en-de").value == most
    page = arrive(**{"pin-translate-en-de": few})
    assert page.selectbox(key="pin-translate-en-de").value == few
    (table,) = tables(page)
    rows = {row["system"]: row for row in summaries(load_run(few, results))}
    assert list(table["Time an answer"])[2] == milliseconds(rows["hybrid"]["total_ms_p50"] / 1000)
    assert any("suite made-up, n = 10, quick run" in text.value for text in page.text)


def test_other_runs_follow_with_interval_quality_and_verdict(results: Path):
    store_run(results, 0, examples=30)
    store_run(results, 1, examples=10, suite="other")
    page = arrive()
    assert [metric.label for metric in page.metric] == ["95 % interval", "BLEU kept"]
    assert sum("quick run" in text.value for text in page.text) == 2
    assert sum("the loss is" in text.value or "the gain is" in text.value for text in page.text) == 1


def test_summaries_that_lead_beats_are_not_praised(results: Path):
    texts = [f"the house of number {n} by the river is for sale" for n in range(8)]
    store_run(results, task="summarize", examples=8, texts=texts)
    page = arrive()
    assert page.header[0].value == "No better than the document's first sentence"
    text = "The hybrid is no better than the document's first sentence. The hybrid answers"
    assert any(shown.value.startswith(text) for shown in page.text)


def test_claims_beside_the_runs_are_told_with_their_outcome(results: Path):
    run_id = store_run(results, examples=60)
    (results / "claims").mkdir()
    for name, need in (("fast", 0.001), ("faster", 1000)):
        text = (
            f'says = "It is {name}"\nsuite = "made-up"\nrun = "{run_id}"\n[at_least]\nend_to_end = {need}\n'
        )
        (results / "claims" / f"{name}.toml").write_text(text, "utf-8")
    (results / "claims" / "none.toml").write_text("at_least = 3", "utf-8")
    told = [text.value for text in arrive().text]
    assert "Proved: It is fast" in told
    assert "Refuted: It is faster" in told
    assert "Cannot be told: none" in told
    assert any("none.toml cannot be read as a claim" in text for text in told)
    (results / "claims" / "faster.toml").unlink()
    assert "Refuted: It is faster" not in [text.value for text in arrive().text]


def test_runs_without_a_hybrid_lead_to_the_benchmark(results: Path):
    store_run(results, examples=3, systems=(System("llm"), System("slm")))
    page = arrive()
    assert any(text.value.startswith("No complete run here has both") for text in page.text)


def test_a_damaged_run_is_named_and_hides_no_other(results: Path):
    good, bad = (store_run(results, number, examples=4) for number in range(2))
    (results / bad / "run.json").write_text("{}", "utf-8")
    page = arrive()
    assert any(bad in text.value and "cannot be read" in text.value for text in page.text)
    assert page.selectbox(key="pin-translate-en-de").value == good


def test_hostile_names_are_plain_text(results: Path):
    name = "<b>x</b> [y](http://a.b) :red[z] \u202ereversed"
    store_run(results, examples=4, suite=name, device_name=name, pair="p" * 500)
    page = arrive()
    for kind in ("markdown", "caption", "header", "title", "html", "warning", "error"):
        assert not any("http://a.b" in element.value for element in page.get(kind)), kind
    shown = [text.value for text in page.text if "http://a.b" in text.value]
    assert shown
    assert all("\\u202e" in text and "\u202e" not in text for text in shown)
    assert not any("p" * 100 in text.value for text in page.text)
