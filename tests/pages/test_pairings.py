"""The Pairings page: logic without a browser, looks and clicks in one."""

import csv
import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.measuring.environment import environment
from hybrid.presentation.pairings.measured import NO_GRID, NO_PROFILE
from hybrid.presentation.pairings.sources import sources
from hybrid.schema import Device
from hybrid.sizing import Pair, Request, load_profile, predict, save_profile
from hybrid.store.grids import load_grid
from hybrid.store.tables import original
from tests.pages.conftest import downloaded, settled, wait_for_address
from tests.presentation.pairings.made_grids import EVIL, cell, store
from tests.sizing.made_up import made_up_profile

ROOT = Path(__file__).parents[2]
STORED = ROOT / "results"
GRID = "20261130-223519-cuda-graph-6532"
H200 = "nvidia-h200-8be4c6-cuda-graph-bfloat16"
CPU = "amd-epyc-7ab403-onnx-int8"


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AppTest]]:
    """open_page(results, **query): the page of a new visitor."""

    def arrive(results: Path, **query: str) -> AppTest:
        monkeypatch.setenv("HYBRID_RESULTS", str(results))
        page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        page.run()
        page.switch_page("pages/pairings.py")
        for name, value in query.items():
            page.query_params[name] = value
        page.session_state["map-behind"] = True  # opened, so that its table can be read
        return page.run()

    st.cache_resource.clear()
    yield arrive
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grids and profiles that ship with the product, and none of its runs."""
    root = tmp_path_factory.mktemp("shipped")
    for name in ("devices", "grids"):
        shutil.copytree(STORED / name, root / name)
    return root


def page_text(page: AppTest) -> str:
    assert not page.exception
    return "\n".join(text.value for text in page.text)


def rows(page: AppTest) -> list[dict[str, Any]]:
    """The table behind the map."""
    return page.dataframe[0].value.to_dict("records")


def test_with_nothing_stored_it_says_what_to_do(open_page, tmp_path: Path):
    page = open_page(tmp_path)
    assert page.title[0].value == "Which sizes?"
    assert "`hybrid device` measures this machine" in page_text(page)
    assert not page.selectbox


def test_cells_are_the_grids_medians_or_the_profiles_predictions(open_page, shipped: Path):
    page = open_page(shipped)
    page.selectbox(key="profile").set_value(H200).run()
    known = sources(shipped).shapes
    measured = {cell.key: cell for cell in load_grid(GRID, shipped).cells}
    cells = {(row["llm"], row["slm"]): row for row in rows(page)}
    assert len(cells) == 20
    llm = measured["llm", "t5-v1_1-xl", None, 1, 128, 64]
    hybrid = measured["hybrid", "t5-v1_1-xl", "t5-v1_1-small", 1, 128, 64]
    row = cells["t5-v1_1-xl", "t5-v1_1-small"]
    assert row["source"] == f"measured {GRID}"
    assert row["speedup"] == pytest.approx(llm.median_total_s / hybrid.median_total_s)
    row = cells["t5-v1_1-xl", "t5-v1_1-large"]
    pair = Pair(known["t5-v1_1-xl"], known["t5-v1_1-large"])
    guess = predict(pair, Request(128, 64, 1), load_profile(H200, shipped))
    assert row["source"] == "predicted"
    assert row["hybrid_total_ms"] == pytest.approx(guess["hybrid"].total_s * 1e3)
    assert "8 cells measured" in page_text(page)
    assert "3 cells ≈ predicted from a profile of another machine" in page_text(page)
    assert "9 cells are blank" in page_text(page)
    assert "How far its predictions are off here is not known; `hybrid device` measures" in page_text(page)


def test_sliders_move_every_cell(open_page, shipped: Path):
    page = open_page(shipped)
    before = rows(page)
    page.select_slider(key="output-tokens").set_value(256)
    page.select_slider(key="at-once").set_value(8).run()
    assert {(row["batch"], row["output_tokens"]) for row in rows(page)} == {(8, 256)}
    assert [row["speedup"] for row in rows(page)] != [row["speedup"] for row in before]
    page.select_slider(key="at-once").set_value(64).run()
    assert "batches of 1 to 32" in page_text(page)  # beyond what the profile was measured at


def test_other_numbers_of_the_same_cells(open_page, shipped: Path):
    page = open_page(shipped)
    page.number_input(key="price").set_value(2.0).run()
    twice = rows(page)
    page.number_input(key="price").set_value(1.0).run()
    for row, double in zip(rows(page), twice, strict=True):
        if row["source"]:
            assert double["hybrid_cost"] == pytest.approx(2 * row["hybrid_cost"])
    for show, words in (("cost", "the hybrid's cost of a million"), ("memory", "computed from sizes")):
        page.segmented_control(key="show").set_value(show).run()
        assert words in page_text(page).splitlines()[0]
    page.segmented_control(key="show").set_value("quality").run()
    assert "None of these 20 pairs has a number here" in page_text(page)  # no run is stored


def test_the_pair_in_detail(open_page, shipped: Path):
    page = open_page(shipped)
    page.selectbox(key="profile").set_value(H200).run()
    page.selectbox(key="llm").set_value("t5-v1_1-xl")
    page.selectbox(key="slm").set_value("t5-v1_1-large").run()
    text = page_text(page)
    assert (
        "t5-v1_1-xl 2.8B with t5-v1_1-large 783M, ≈ predicted from a profile of another machine, not measured"
        in text
    )
    assert "the hybrid is faster than the LLM" in text
    page.selectbox(key="llm").set_value("bundled-llm").run()
    assert "The SLM is not smaller than the LLM." in page_text(page)


def test_no_models_are_asked_for(open_page, shipped: Path):
    page = open_page(shipped)
    page.multiselect(key="llms").set_value([]).run()
    assert "Choose at least one LLM and one SLM." in page_text(page)


def test_what_an_engine_cannot_run_and_what_is_extrapolated_is_said(open_page, shipped: Path):
    page = open_page(shipped)
    page.multiselect(key="llms").set_value(["bart-large", "t5-v1_1-large"])
    page.select_slider(key="prompt-tokens").set_value(2048).run()
    cells = {(row["llm"], row["slm"]): row for row in rows(page)}
    assert "which the engine onnx does not run" in cells["bart-large", "t5-v1_1-small"]["note"]
    assert cells["t5-v1_1-large", "t5-v1_1-small"]["source"] == "extrapolated"
    assert "Extrapolated: the profile was measured with prompts of 32 to 512 tokens" in page_text(page)


def test_grids_without_a_profile_and_profiles_without_a_grid(open_page, tmp_path: Path):
    store(tmp_path)
    assert NO_PROFILE in page_text(open_page(tmp_path))
    (tmp_path / "grids" / "grid-1.jsonl").unlink()
    save_profile(made_up_profile(environment=environment(Device("cpu"), "")), tmp_path)
    assert NO_GRID in page_text(open_page(tmp_path))


def test_damage_is_named_and_hides_nothing(open_page, tmp_path: Path):
    save_profile(made_up_profile(), tmp_path)
    (tmp_path / "devices" / "broken.json").write_text("{", "utf-8")
    page = open_page(tmp_path)
    assert "broken.json" in page_text(page)
    assert any(row["source"] == "predicted" for row in rows(page))


def test_hostile_names_are_plain_text(open_page, tmp_path: Path):
    from dataclasses import asdict, replace

    from tests.presentation.pairings.made_grids import HERE, LARGE
    from tests.sizing.made_up import shape

    shapes = {"large": asdict(LARGE), EVIL: asdict(shape(EVIL, 128, 256, 2, 2))}
    cells = (cell("llm", (4.0,)), cell("hybrid", (2.0,), slm=EVIL))
    store(tmp_path, cells, shapes=shapes, environment=replace(HERE, device_name=EVIL))
    page = open_page(tmp_path)
    page.multiselect(key="llms").set_value(["large"])
    page.multiselect(key="slms").set_value([EVIL])
    page.select_slider(key="prompt-tokens").set_value(32)
    page.select_slider(key="output-tokens").set_value(16)
    page.select_slider(key="at-once").set_value(8).run()
    assert "1 cell measured" in page_text(page)
    assert "\u202e" not in page_text(page)
    marked = [*page.markdown, *page.caption, *page.header, *page.subheader]
    assert not any("script" in element.value for element in marked)


# --- in a browser ---


@pytest.fixture(scope="module")
def bench(serve: Callable[..., Any], shipped: Path) -> Iterator[Any]:
    with serve(shipped, bundled=True) as server:
        yield server


def arrive(page: Any, address: str) -> None:
    """To the page as a visitor comes to it: over the first one."""
    page.goto(address)
    settled(page)
    if page.viewport_size["width"] < 700:  # a phone keeps the pages in a drawer
        page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Pairings").first.click()
    drawn(page)


def drawn(page: Any) -> None:
    page.get_by_role("heading", name="Which sizes?").wait_for()
    page.locator(".st-key-figure-map .bars .point").first.wait_for()
    settled(page)


def wait_for_text(page: Any, text: str) -> None:
    page.locator("[data-testid=stText]", has_text=text).first.wait_for()


@pytest.mark.slow
@pytest.mark.parametrize("look", ["1440-light", "390-dark"])
def test_the_map_wide_and_narrow(bench: Any, visit: Callable[..., Any], look: str):
    with visit(look, shot="pairings-map") as page:
        arrive(page, bench.address)
        wait_for_text(page, "predictions are off")  # how far, or that it is not known on this machine
        shown = page.locator(".st-key-figure-map .bars .point text").all_text_contents()
        predicted = [text for text in shown if text.startswith("≈")]
        assert len(predicted) < len([text for text in shown if text])  # measured ones, too
        hatched = page.locator(".st-key-figure-map .bars .point path.pattern_filled")
        assert hatched.count() == len(predicted) + 1 > 1  # and the one in the legend


def test_a_click_shows_a_pair_and_its_link_shows_it_again(
    bench: Any, visit: Callable[..., Any], browser: Any
):
    with visit() as page:
        arrive(page, bench.address)
        box = page.locator(".st-key-figure-map .bars .point").first.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        wait_for_text(page, "t5-v1_1-small 77M with bundled-slm 6.0M, measured in grid")
        settled(page)
        wait_for_address(page, slm="bundled-slm 6.0M", llm="t5-v1_1-small 77M")
        link = page.url
    with closing(browser.new_context()) as context:
        again = context.new_page()
        again.goto(link)
        drawn(again)
        wait_for_text(again, "t5-v1_1-small 77M with bundled-slm 6.0M, measured in grid")


@pytest.mark.nightly
def test_a_slider_is_quick_and_the_csv_is_the_table(bench: Any, visit: Callable[..., Any]):
    with visit() as page:
        arrive(page, bench.address)
        waited = []
        for tokens in (128, 256, 512):
            begun = time.perf_counter()
            page.get_by_role("slider", name="Output tokens").press("ArrowRight")
            wait_for_text(page, f"answers of {tokens} tokens")
            waited.append(time.perf_counter() - begun)
            settled(page)
        assert min(waited) < 1.0
        page.get_by_text("Table and downloads").first.click()
        file = downloaded(page, page.locator(".st-key-map-csv button"))
        table = list(csv.DictReader(io.StringIO(file.read_text("utf-8"))))
    assert len(table) == 20
    assert {row["output_tokens"] for row in table} == {"512"}
    profile = load_profile(CPU, bench.results)
    shapes = sources(bench.results).shapes
    for row in table:
        if row["source"] == "predicted":
            pair = Pair(shapes[original(row["llm"])], shapes[original(row["slm"])])
            guess = predict(pair, Request(128, 512, 1), profile)
            assert float(row["llm_total_ms"]) == pytest.approx(guess["llm"].total_s * 1e3)
