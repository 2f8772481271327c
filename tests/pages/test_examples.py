"""The Examples page: what it says and shows, what its address keeps, and the browser's side of it."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.benchmark.private import make_private
from hybrid.benchmark.scoring import score_run
from hybrid.presentation.difference import words
from hybrid.schema import Generation
from hybrid.store import load_run
from hybrid.store.tables import original
from tests.made_runs import store_run
from tests.pages.conftest import LOOKS, Server, downloaded, settled, wait_for_address

APP = Path(__file__).parents[2] / "app.py"
HOSTILE = (
    "<script>window.harmed = 1</script> <b>x</b>", "[a](http://evil.example) " + "w" * 5000,
    "=1+1 \u202eoverride",
)  # fmt: skip


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    st.cache_resource.clear()
    yield tmp_path / "results"
    st.cache_resource.clear()


def arrive(**address: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in address.items():
        page.query_params[name] = value
    page.switch_page("pages/examples.py").run()
    assert not page.exception
    return page


def texts(page: AppTest) -> list[str]:
    return [text.value for text in page.text]


def drawn(page: AppTest) -> list[dict[str, Any]]:
    """The cards as they are given to the browser."""
    elements = page.get("bidi_component")
    return [card for element in elements for card in json.loads(element.proto.json)["cards"]]


def press(page: AppTest, label: str) -> AppTest:
    (button,) = [b for b in page.button if b.label == label]
    page = button.click().run()
    assert not page.exception
    return page


def test_an_empty_folder_says_how_to_make_a_run(results: Path):
    page = arrive()
    assert page.title[0].value == "Where does it fail?"
    assert any("hybrid bench everyday-en-de" in text for text in texts(page))
    assert not page.selectbox


def test_the_newest_complete_run_is_shown_the_worst_example_first(results: Path):
    complete = store_run(results, 0, examples=12)
    store_run(results, 1, examples=12, answered=0.5)
    page = arrive()
    assert page.selectbox(key="examples-run").value == complete
    assert "12 examples: largest quality loss first, by Hybrid." in texts(page)
    cards = drawn(page)
    assert len(cards) == 10
    assert [shown["name"] for shown in cards[0]["answers"]] == ["LLM alone", "SLM alone", "Hybrid"]
    scores = [card["answers"][2]["figures"][0] for card in cards]
    assert {label for label, _ in scores} == {"BLEU (to LLM)"}
    signed = [re.search(r"\((.*)\)", score)[1] for _, score in scores]
    changes = [float(change.replace("−", "-").replace("±", "")) for change in signed]
    assert changes == sorted(changes)
    page.session_state["page"] = 2
    page.run()
    assert len(drawn(page)) == 2


def test_a_run_without_answers_says_so(results: Path):
    run_id = store_run(results, examples=3, answered=0.0)
    page = arrive(run=run_id)
    assert "This run has no answers yet. They appear here as they are measured." in texts(page)
    assert drawn(page) == []


def test_nothing_that_matches_leads_back_to_all(results: Path):
    store_run(results, examples=4)
    page = arrive(contains="nowhere to be found", differs="true")
    assert "None of the 4 examples matches these filters." in texts(page)
    page = press(page, "Clear the filters")
    assert len(drawn(page)) == 4
    assert page.text_input(key="contains").value == ""
    assert not page.toggle(key="differs").value


def test_answers_with_a_fault_are_picked_and_say_so(results: Path):
    run_id = store_run(
        results, examples=4, texts=["No cat sat.", "The cat the cat the cat.", "A cat.", "Cats."]
    )
    assert all(box.key != "fault" for box in arrive().selectbox)  # it was not scored by checks
    score_run(run_id, root=results)
    (card,) = drawn(arrive(fault="Repetition"))
    assert card["texts"][0][1][0][1] == "The cat the cat the cat."
    assert all("repetition" in answer["stopped"] for answer in card["answers"])
    assert len(drawn(arrive())) == 4


def test_the_address_chooses_everything(results: Path):
    store_run(results, 1, examples=30)
    run_id = store_run(results, 0, examples=30)
    page = arrive(
        run=run_id, of="SLM alone", sort="Slowest", marked="LLM", domain="travel", size="25 a page",
        missing="true",
    )  # fmt: skip
    cards = drawn(page)
    assert {card["domain"] for card in cards} == {"travel"}
    assert f"{len(cards)} of 30 examples: slowest first, by SLM alone." in texts(page)
    stored = load_run(run_id, results)
    generations = {(record.example_id, record.system): record.generation for record in stored.records}
    times = [generations[card["id"], "slm"].timing.total_s for card in cards]
    assert times == sorted(times, reverse=True)
    first = cards[0]["id"]
    difference = words(generations[first, "llm"].text, generations[first, "slm"].text)
    assert cards[0]["answers"][1]["parts"] == [[part.kind, part.text] for part in difference]


def test_one_example_has_an_address(results: Path):
    run_id = store_run(results, examples=12)
    page = arrive(run=run_id, example="news-11")
    assert [card["id"] for card in drawn(page)] == ["news-11"]
    page = press(page, "Show all examples")
    assert len(drawn(page)) == 10
    assert "example" not in page.query_params


def test_an_address_that_leads_nowhere_is_told(results: Path):
    store_run(results, examples=3)
    page = arrive(run="gone", example="<b>gone</b>")
    assert "There is no run gone here. This is another one." in texts(page)
    assert "There is no example <b>gone</b> with an answer in this run." in texts(page)
    assert drawn(page) == []


def test_damage_is_named_and_hides_nothing_else(results: Path):
    good, bad = (store_run(results, number, examples=4) for number in range(2))
    (results / bad / "run.json").write_text("{}", "utf-8")
    records = results / good / "records.jsonl"
    lines = records.read_bytes().split(b"\n")
    lines[3] = b"x" * len(lines[3])
    records.write_bytes(b"\n".join(lines))
    page = arrive()
    assert any(bad in text and "cannot be read" in text for text in texts(page))
    assert any("line 4, is damaged" in text for text in texts(page))
    assert len(drawn(page)) == 4


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("examples")
    return root, store_run(root, examples=40, texts=HOSTILE)


@pytest.fixture(scope="module")
def server(
    stored: tuple[Path, str], serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serve(stored[0], HYBRID_CACHE=str(tmp_path_factory.mktemp("cache"))) as running:
        yield running


def answers_to(example_id: str, stored: tuple[Path, str]) -> dict[str, Generation]:
    records = load_run(stored[1], stored[0]).records
    return {record.system: record.generation for record in records if record.example_id == example_id}


def test_a_visitor_sorts_pages_searches_links_and_saves(
    server: Server, stored: tuple[Path, str], visit: Callable[..., Any]
):
    with visit() as page:
        page.goto(f"{server.address}/examples")
        names = page.locator("article h2")
        page.get_by_text("40 examples: largest quality loss first").wait_for()
        page.get_by_label("Sort by").click()
        page.get_by_role("option", name="Order of the suite").click()
        page.get_by_text("40 examples in the order of the suite.").wait_for()
        settled(page)
        assert names.all_inner_texts() == [f"news-{number}" for number in range(3, 13)]
        page.get_by_role("button", name="Next", exact=True).click()
        page.get_by_text("Page 2 of 4").wait_for()
        settled(page)
        assert names.all_inner_texts() == [f"news-{number}" for number in range(13, 23)]
        wait_for_address(page, page="2", run=stored[1], sort="Order of the suite")
        page.get_by_placeholder("Find in").fill("sOURCE 17")
        page.keyboard.press("Enter")
        page.get_by_text("1 of 40 examples").wait_for()
        settled(page)
        assert names.all_inner_texts() == ["news-17"]
        saved = downloaded(page, page.get_by_role("button", name="CSV"))
        rows = list(csv.DictReader(io.StringIO(saved.read_text("utf-8"))))
        generations = answers_to("news-17", stored)
        assert [row["system"] for row in rows] == list(generations)
        for row in rows:
            assert original(row["text"]) == generations[row["system"]].text
            assert float(row["total_ms"]) == pytest.approx(1000 * generations[row["system"]].timing.total_s)
        page.get_by_role("button", name="Link to this example").click()
        page.get_by_text("The address of this page leads to this example.").wait_for()
        wait_for_address(page, example="news-17")
        link = page.url
    with visit() as page:
        page.goto(link)
        page.locator("article h2").wait_for()
        assert page.locator("article h2").all_inner_texts() == ["news-17"]


def test_marked_words_are_ins_and_del(server: Server, stored: tuple[Path, str], visit: Callable[..., Any]):
    generations = answers_to("news-20", stored)
    parts = words(generations["llm"].text, generations["slm"].text)
    assert {part.kind for part in parts} == {"same", "added", "removed"}
    tags = {"same": ("BDI", "none"), "added": ("INS", "underline"), "removed": ("DEL", "line-through")}
    drawn = """e => [...e.children].map((c) =>
        [c.tagName, getComputedStyle(c).textDecorationLine, c.textContent])"""
    with visit() as page:
        page.goto(f"{server.address}/examples?run={stored[1]}&example=news-20&marked=LLM")
        text = page.locator("article .answers section").nth(1).locator(".text")
        text.wait_for()
        new_parts = [part for part in parts if part.kind != "removed"]
        assert text.evaluate(drawn) == [[*tags[part.kind], part.text] for part in new_parts]
        page.get_by_text("Show missing words").click()
        text.locator("del").first.wait_for()
        assert text.evaluate(drawn) == [[*tags[part.kind], part.text] for part in parts]


@pytest.mark.parametrize("look", LOOKS[:1] + LOOKS[3:])
def test_hostile_texts_stay_texts_in_their_cards(look: str, server: Server, visit: Callable[..., Any]):
    with visit(look, shot="examples-hostile") as page:
        page.goto(f"{server.address}/examples?domain=hostile")
        page.locator("article").nth(2).wait_for()
        settled(page)
        assert page.evaluate("window.harmed === undefined")
        shown = page.locator("article section .text").all_text_contents()
        assert all(text in shown for text in HOSTILE)
        assert page.locator("article a, article img, article script, article b").count() == 0
        for card in page.locator("article").all():
            box = card.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= int(look.split("-")[0])
            assert box["height"] < 2600  # a long word scrolls in its own place
            assert card.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_a_private_run_says_why_it_shows_none(results: Path) -> None:
    private = make_private(store_run(results, examples=3), root=results)
    page = arrive(run=private)
    assert any(
        "private" in text and "without any" in text for text in texts(page) + [i.value for i in page.info]
    )
    assert drawn(page) == []
    assert page.get("download_button") == []
