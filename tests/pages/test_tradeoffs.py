"""The Trade-offs page: what it draws of which runs, what it says where it cannot, and what its files hold."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Element

from hybrid.presentation.runs.digest import run_digest
from hybrid.schema import Sampling, System
from hybrid.store.tables import original
from tests.made_runs import store_run
from tests.pages.conftest import Server, downloaded, settled

APP = Path(__file__).parents[2] / "app.py"
NAMES = ("llm", "slm", "hybrid", "lossless", "llm@torch", "hybrid@torch", "lossless@torch")
SYSTEMS = tuple(map(System.parse, NAMES))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine runs; the fullest is made-0002, of two the newer, and 0009 is under way."""
    root = tmp_path_factory.mktemp("results")
    store_run(root, 1, examples=40, systems=SYSTEMS)
    store_run(root, 2, examples=40, device_name="A GPU", suite="made-other")
    store_run(root, 3, task="summarize", suite="made-briefs")
    store_run(root, 4, sampling=Sampling(64, ignore_eos=True), suite="made-fixed")
    store_run(root, 5, batch_size=8, suite="made-batches")
    store_run(root, 6, systems=(System("slm"), System("hybrid")), suite="made-other")
    for number in (7, 8):
        store_run(root, number, examples=20)
    store_run(root, 9, answered=0.4)
    return root


@pytest.fixture
def visit_app(results: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AppTest]]:
    """`visit_app(suite="made-up")` opens the page with such a link."""

    def arrive(folder: Path = results, **link: str | list[str]) -> AppTest:
        monkeypatch.setenv("HYBRID_RESULTS", str(folder))
        page = AppTest.from_file(str(APP), default_timeout=60)
        page.switch_page("pages/tradeoffs.py")
        for name, value in link.items():
            page.query_params[name] = value
        page.run()
        assert not page.exception
        return page

    st.cache_resource.clear()
    yield arrive
    st.cache_resource.clear()


def words(page: AppTest) -> str:
    return "\n".join(element.value for kind in ("text", "caption", "header") for element in page.get(kind))


def elements(block: Block) -> Iterator[Element]:
    """Yield what is drawn in a block, from top to bottom."""
    for child in block.children.values():
        if isinstance(child, Block):
            yield from elements(child)
        else:
            yield child


def drawn(page: AppTest) -> int:
    return len(page.get("plotly_chart"))


def test_at_first_the_run_of_most_examples_is_drawn(visit_app: Callable[..., AppTest], results: Path):
    page = visit_app()
    assert page.multiselect(key="tradeoffs-runs").value == ["made-0002"]
    assert drawn(page) == 4
    digest = run_digest("made-0002", results)
    assert all(verdict in words(page) for verdict in digest.verdicts.values())
    assert "n = 40 examples" in words(page)


def test_the_first_chart_stands_above_every_sentence(visit_app: Callable[..., AppTest]):
    kinds = [element.type for element in elements(visit_app().main)]
    assert kinds.index("plotly_chart") < kinds.index("text")


def test_filters_narrow_the_runs_and_a_run_they_take_away_gives_way(visit_app: Callable[..., AppTest]):
    page = visit_app(run="made-0001")
    assert page.multiselect(key="tradeoffs-runs").value == ["made-0001"]
    page.selectbox(key="suite").set_value("made-other").run()
    assert page.multiselect(key="tradeoffs-runs").options == ["made-0006", "made-0002"]
    assert page.multiselect(key="tradeoffs-runs").value == ["made-0002"]
    page.selectbox(key="device").set_value("A CPU").run()
    assert page.multiselect(key="tradeoffs-runs").value == ["made-0006"]
    assert not page.exception
    page.selectbox(key="device").set_value("A GPU").run()
    page.selectbox(key="suite").set_value("made-briefs").run()
    assert "No run passes these filters." in words(page)
    page.button[0].click().run()
    assert page.selectbox(key="suite").value is None
    assert len(page.multiselect(key="tradeoffs-runs").options) == 9
    assert drawn(page) == 4


def test_a_link_is_the_view(visit_app: Callable[..., AppTest]):
    page = visit_app(
        suite="made-up", run=["made-0001", "made-0007"], metric="chrF", latency="Time to first token (TTFT)",
        length="By length of prompt", scale="Share of each", system=["hybrid", "hybrid@torch"],
    )  # fmt: skip
    assert page.multiselect(key="tradeoffs-runs").value == ["made-0001", "made-0007"]
    text = words(page)
    assert "chrF against time to first token (TTFT)" in text
    assert "Speed-up over the LLM by length of the prompt" in text
    assert "Hybrid in torch (run 0001)" in text
    assert "SLM alone (run 0001)" not in text


def test_what_a_link_gets_wrong_is_ignored(visit_app: Callable[..., AppTest]):
    page = visit_app(suite="../etc", run="<b>", metric="nonsense", batch="many", system="nobody")
    assert "There is no run <b> here." in words(page)
    assert page.multiselect(key="tradeoffs-runs").value == ["made-0002"]
    assert drawn(page) == 4


def test_several_tasks_are_not_one_figure_of_quality(visit_app: Callable[..., AppTest]):
    text = words(visit_app(run=["made-0003", "made-0001"]))
    assert "Not in this figure: made-0001." in text
    assert "ROUGE-L against end-to-end latency" in text
    assert "BLEU against" not in text


def test_fixed_length_batches_and_a_missing_llm_are_said(visit_app: Callable[..., AppTest]):
    page = visit_app(run="made-0004")
    assert "Run made-0004 has no quality to draw" in words(page)
    assert drawn(page) == 3
    page = visit_app(run="made-0005")
    assert "answered in batches of 8" in words(page)
    assert drawn(page) == 3
    page = visit_app(run="made-0006")
    assert "it has no answers of the LLM" in words(page)
    assert drawn(page) == 3


def test_a_run_under_way_is_drawn_and_named_as_such(visit_app: Callable[..., AppTest]):
    page = visit_app(run="made-0009")
    assert "is incomplete: 14 of 36 answers" in words(page)


def test_choosing_runs_names_them_in_the_url(visit_app: Callable[..., AppTest]):
    page = visit_app()
    assert "run" not in page.query_params
    page.multiselect(key="tradeoffs-runs").set_value(["made-0007", "made-0001"]).run()
    assert page.query_params["run"] == ["made-0007", "made-0001"]
    assert "(run 0007)" in words(page)
    page.multiselect(key="tradeoffs-runs").set_value([]).run()
    assert page.multiselect(key="tradeoffs-runs").value == ["made-0002"]


def test_more_runs_than_can_be_told_apart_are_cut(visit_app: Callable[..., AppTest]):
    page = visit_app(run=[f"made-{number:04}" for number in range(1, 10)])
    assert len(page.multiselect(key="tradeoffs-runs").value) == 6


def test_without_any_run_it_says_how_to_make_one(visit_app: Callable[..., AppTest], tmp_path: Path):
    assert "There are no runs yet." in words(visit_app(tmp_path / "empty"))


def test_a_damaged_run_is_named_and_hides_no_other(visit_app: Callable[..., AppTest], tmp_path: Path):
    for number in (1, 2, 3):
        store_run(tmp_path, number)
    (tmp_path / "made-0002" / "run.json").write_text("{", "utf-8")
    (tmp_path / "made-0003" / "examples.jsonl").unlink()
    page = visit_app(tmp_path, run=["made-0003", "made-0001"])
    assert drawn(page) == 4
    assert "made-0003" in words(page)
    assert "made-0002" in words(page)


@pytest.fixture(scope="module")
def server(results: Path, serve: Callable[..., Any]) -> Iterator[Server]:
    with serve(results) as running:
        yield running


@pytest.mark.parametrize("look", ["1440-light", "390-dark"])
def test_many_systems_stay_readable_and_the_csv_holds_what_is_stored(
    look: str, server: Server, visit: Callable[..., Any]
):
    with visit(look, shot="tradeoffs-engines") as page:
        page.goto(server.address)
        settled(page)
        page.goto(f"{server.address}/tradeoffs?run=made-0001&run=made-0002")
        settled(page)
        page.locator(".js-plotly-plot .main-svg").nth(8).wait_for()
        assert page.locator(".js-plotly-plot").count() == 4
        named = page.locator(".st-key-figure-quality .textpoint:visible").count()
        assert (named == 0) if look.startswith("390") else (named >= 4)
        flags = page.locator(".st-key-figure-quality .annotation-text").all_text_contents()
        assert any("differ in machine" in text for text in flags)
        page.get_by_text("Table and downloads").first.click()
        file = downloaded(page, page.locator(".st-key-quality-csv button"))
        rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8"))))
        for row in rows:
            stored = run_digest(row["run"], server.results).rows[original(row["system"])]
            assert float(row["quality"]) == stored["bleu"]
            assert float(row["latency_ms"]) == pytest.approx(stored["total_ms_p50"], rel=1e-3)
        assert len(rows) == len(SYSTEMS) + 3


def test_a_run_is_one_click_from_its_answers(server: Server, visit: Callable[..., Any]):
    with visit() as page:
        page.goto(server.address)
        settled(page)
        page.goto(f"{server.address}/tradeoffs?run=made-0001")
        settled(page)
        page.get_by_role("link", name="Its answers").click()
        page.wait_for_url("**/examples?run=made-0001*")
        settled(page)
