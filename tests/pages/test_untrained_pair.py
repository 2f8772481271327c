"""A pair whose hybrid does not exist yet: its models answer, and the pages say what makes the hybrid."""

from pathlib import Path

import pytest
import streamlit as st

from hybrid.models.writing import add_pair
from tests.pages.live_page import answers, arrive, ask, notices
from tests.pages.test_benchmark import arrive as arrive_at_benchmark

HOW = (
    "The hybrid of untrained does not exist yet: `hybrid train RECIPE` makes it, of a recipe with "
    '[llm] from = "tiny/llm" and [slm] from = "tiny/slm".'
)


@pytest.fixture(autouse=True)
def untrained(live_zoo: Path) -> None:
    st.cache_resource.clear()
    add_pair("untrained", "tiny/llm", "tiny/slm")


def test_live_runs_both_models_side_by_side() -> None:
    page = arrive(live_pair="untrained")
    assert notices(page) == [HOW]
    assert [h.value for h in page.subheader] == ["LLM alone", "SLM alone"]
    page = ask(page, "The bridge is open.")
    assert not page.exception
    assert list(answers(page)) == ["llm", "slm"]


def test_the_benchmark_page_says_how_to_train_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr("pages.benchmark_parts.engines.PAINT_S", 0.0)
    monkeypatch.setattr("pages.benchmark_parts.engines.probe_engines", lambda: {"torch": {"cpu": None}})
    page = arrive_at_benchmark(bench_pair="untrained", bench_engine="torch")
    assert HOW in [text.value for text in page.text]
    assert any("× 2 systems" in text.value for text in [*page.caption, *page.text, *page.markdown])
