"""A pair of two tokenizers and tasks of its own, on Live and Benchmark, without a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.schema import TASKS
from pages.live_parts.examples import EXAMPLES
from tests.models.two_tokenizers import OWN, save_any_pair
from tests.pages.live_page import APP, TRANSLATE, answers, arrive, ask, notices

LABELS = ["Translate German to French", "Simplify", "Summarize in Chinese"]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    save_any_pair(folder / "any", layer=1)
    return folder


@pytest.fixture(autouse=True)
def _own(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HYBRID_ZOO", str(zoo))
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path))
    monkeypatch.setattr("pages.live_parts.models.PAINT_S", 0.0)
    monkeypatch.setattr("hybrid.live.answers.LEAD_S", 0.0)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def test_live_asks_for_the_pairs_own_tasks() -> None:
    page = arrive()
    assert not page.exception
    assert page.button_group(key="task").options == LABELS
    assert not [
        button for button in page.button if (button.key or "").startswith("example-")
    ]  # none in German
    assert page.text_area(key=f"prompt-{OWN}").value == ""
    page = ask(page, "Das alte Haus.", OWN)
    assert not page.exception
    written = answers(page, OWN)
    assert list(written) == ["llm", "slm", "hybrid"]
    labels = [metric.label for metric in page.metric]
    assert labels == ["Total time", "First token", "Characters/s", "Per token", "Tokens"] * 3


def test_live_has_examples_in_english_for_any_task_that_reads_it() -> None:
    page = arrive(task="Simplify")
    assert page.text_area(key="prompt-simplify").value in EXAMPLES["summarize"].values()


def test_benchmark_offers_them_for_a_suite_that_states_none() -> None:
    page = AppTest.from_file(str(APP), default_timeout=60)
    page.switch_page("pages/benchmark.py")
    page.query_params["bench_suite"] = "another"
    page.run()
    assert not page.exception
    assert page.selectbox(key="asked-task").options == LABELS


def test_a_pair_is_taken_from_the_address_and_its_tasks_are_offered(zoo: Path, live_zoo: Path) -> None:
    shutil.copytree(zoo / "any", live_zoo / "two")
    page = arrive()
    assert page.button_group(key="task").options == [task.label for task in TASKS.values()]
    page = arrive(pair="two")
    assert not page.exception
    assert page.selectbox(key="live_pair").value == "two"
    assert "pair" not in page.query_params
    assert page.button_group(key="task").options == LABELS
    assert list(answers(ask(page, "Das alte Haus.", OWN), OWN)) == ["llm", "slm", "hybrid"]
    page.selectbox(key="live_pair").set_value("tiny").run()
    assert not page.exception
    assert page.button_group(key="task").value == TRANSLATE


def test_an_unknown_pair_of_the_address_is_named_in_a_sentence(live_zoo: Path) -> None:
    page = arrive(pair="gone")
    assert notices(page)[0] == "The link asks for a pair unknown here: gone. There is tiny."
    assert page.selectbox(key="live_pair").value == "tiny"
