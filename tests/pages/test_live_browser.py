"""The Live page as a person meets it: the bundled pair answers where it is present, else the tiny random one.

Each test leaves a screenshot in screenshots/, to be looked at.
"""

import csv
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from hybrid.live.batch import MOST
from hybrid.measuring.lock import measuring
from tests.pages.conftest import Server, downloaded, settled, wait_for_address

SENTENCE = "The museum opens at nine o'clock on Sundays."
SIX = ["LLM alone", "SLM alone", "Hybrid", "LLM alone, torch", "Hybrid, torch", "SLM alone, torch"]
FILE = "Prompts from a file"
HOSTILE = '<img src=x onerror="document.title=1"> **bold** ![x](http://a.b/c.png) $x^2$ =1+1'


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("results"), bundled=True) as running:
        yield running


def open_page(page: Any, server: Server, **choices: str | list[str]) -> None:
    query = urlencode(choices, doseq=True)
    page.goto(f"{server.address}/live" + (f"?{query}" if query else ""))


def run(page: Any) -> None:
    page.get_by_role("button", name=re.compile("^Run")).click()


def ready(page: Any) -> None:
    page.get_by_role("heading", name="Press Run").wait_for()


def has_prompt(page: Any, text: str) -> None:
    """Wait until the text is filled in: the box is drawn an instant before."""
    page.wait_for_function(
        "text => document.querySelector('textarea[aria-label=Prompt]')?.value === text", arg=text
    )


def final_answers(page: Any, count: int = 3) -> list[str]:
    """The answers, once the replay is over."""
    page.get_by_role("heading", name=re.compile("answered")).wait_for()
    settled(page)
    answer_texts: list[str] = page.locator("[class*=st-key-card-] [data-testid=stText]").all_inner_texts()
    assert len(answer_texts) == count
    assert all(text.strip() for text in answer_texts)
    return answer_texts


def test_a_link_on_a_fresh_server_opens_in_the_frame(server: Server, visit: Callable[..., Any]):
    """The first test of this module: nobody has been at / yet."""
    with visit() as page:
        open_page(page, server, prompt=SENTENCE, limit="20")
        ready(page)
        assert page.get_by_role("link", name="Overview").count() == 1
        assert page.locator("[data-testid=stSidebarNav]").count() == 0
        has_prompt(page, SENTENCE)
        assert page.get_by_label("Max new tokens").input_value() == "20"
        assert page.locator("[class*=st-key-card-] [data-testid=stText]").count() == 0  # nothing ran


@pytest.mark.parametrize("look", ["1440-light", "390-dark"])
def test_a_typed_sentence_is_answered_by_all_three(look: str, server: Server, visit: Callable[..., Any]):
    with visit(look, shot="live-answered") as page:
        open_page(page, server, slowdown="real time")
        ready(page)
        page.get_by_label("Prompt").fill(SENTENCE)
        run(page)
        final_answers(page)
        assert page.locator(".js-plotly-plot").count() == 3
        assert page.locator("[data-testid=stAlert], [class*=st-key-note-]").count() == 0
        wait_for_address(page, prompt=SENTENCE, slowdown="real time")
        assert set(parse_qs(urlsplit(page.url).query)) == {"prompt", "slowdown"}


@pytest.mark.parametrize(
    ("look", "systems"), [("1440-dark", SIX), ("390-light", SIX), ("1440-light", SIX[2:3])]
)
def test_cards_for_one_to_six(look: str, systems: list[str], server: Server, visit: Callable[..., Any]):
    with visit(look, shot=f"live-{len(systems)}-systems") as page:
        open_page(page, server, systems=systems, slowdown="real time", prompt=SENTENCE)
        ready(page)
        run(page)
        final_answers(page, len(systems))
        boxes = [card.bounding_box() for card in page.locator("[class*=st-key-card-]").all()]
        assert len(boxes) == len(systems)
        assert all(box["width"] >= 230 for box in boxes)
        a_row = 1 if look.startswith("390") else min(3, len(systems))
        assert len({round(box["x"]) for box in boxes}) == a_row


def test_differences_and_scores(server: Server, visit: Callable[..., Any]):
    with visit(shot="live-differences") as page:
        open_page(page, server, slowdown="real time", prompt=SENTENCE, differences="true")
        ready(page)
        page.get_by_role("button", name="Reference").click()
        page.get_by_label("The answer that you would").fill("Das Museum öffnet sonntags um neun Uhr.")
        run(page)
        page.get_by_role("heading", name=re.compile("answered")).wait_for()
        settled(page)
        assert page.get_by_text("Against the reference: chrF").count() == 3
        marked = page.locator("[class*=st-key-card-] ins, [class*=st-key-card-] del")
        marked.first.wait_for()
        assert page.get_by_role("radio", name="to the reference").is_checked()


def test_a_file_of_prompts_becomes_a_table_and_its_csv(
    server: Server, visit: Callable[..., Any], tmp_path: Path
):
    prompts = [SENTENCE, HOSTILE, "=1+1 is two."]
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(prompts), "utf-8")
    with visit(shot="live-batch") as page:
        open_page(page, server, ask=FILE, limit="12")
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name=re.compile("^Run 3 prompts")).click()
        page.get_by_role("heading", name="Medians over n = 3").wait_for()
        settled(page)
        file = downloaded(page, page.get_by_role("button", name="CSV", exact=True).first)
        rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
        assert [row["source"] for row in rows] == [SENTENCE, HOSTILE, "'=1+1 is two."]
        assert all(float(row["llm ms"]) > 0 and row["hybrid answer"] for row in rows)
        assert page.title() != "1"


def test_a_batch_is_stopped_and_goes_on(server: Server, visit: Callable[..., Any], tmp_path: Path):
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join([SENTENCE] * MOST), "utf-8")
    with visit("390-dark", shot="live-batch-stopped") as page:
        open_page(page, server, ask=FILE, limit="12")
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name=re.compile(f"^Run {MOST} prompts")).click()
        page.get_by_text(re.compile(rf"^[1-9]\d* of {MOST} prompts measured")).wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name=re.compile("^Go on with the other")).wait_for()
        settled(page)
        page.wait_for_timeout(1000)  # it does not go on by itself
        assert page.get_by_role("button", name=re.compile("^Go on with the other")).count() == 1


def test_a_hostile_link_is_plain_sentences(server: Server, visit: Callable[..., Any]):
    with visit("390-light", shot="live-hostile") as page:
        open_page(
            page, server, prompt=HOSTILE, live_pair=HOSTILE, systems=["<script>alert(1)</script>"], task="x"
        )
        ready(page)
        has_prompt(page, HOSTILE)
        assert page.get_by_text("The link asks for a pair unknown here: <img src=x").count() == 1
        assert page.get_by_text("unknown here: <script>alert(1)</script>.").count() == 1
        assert page.locator("[data-testid=stMain] img").count() == 0


def test_two_visitors_at_once_each_get_their_own(server: Server, browser: Any):
    contexts = [browser.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    prompts = [
        "Select the file.",
        "The old bridge over the river has been closed since the floods of last spring.",
    ]
    for page, prompt in zip(pages, prompts, strict=True):
        page.set_default_timeout(60_000)
        open_page(page, server, prompt=prompt, slowdown="real time")
    for page in pages:
        ready(page)
    for page in pages:
        run(page)
    both = [final_answers(page) for page in pages]
    for page in pages:  # asked again, the same comes
        run(page)
        page.get_by_text("Asked in this visit: 2").wait_for()
    assert [final_answers(page) for page in pages] == both
    assert both[0] != both[1]
    for context in contexts:
        context.close()


def test_beside_a_benchmark_a_visitor_is_told_and_tries_again(server: Server, visit: Callable[..., Any]):
    with visit(shot="live-busy") as page:
        open_page(page, server, slowdown="real time")
        ready(page)
        with measuring("20261123-014512-everyday-en-de-3f9c", "file:/data/**a**_b_.tsv", folder=server.locks):
            run(page)
            page.get_by_role("button", name="Try again").wait_for()
            sentence = page.locator("[class*=st-key-note-warning] [data-testid=stText]").inner_text()
        assert "(run 20261123-014512-everyday-en-de-3f9c of file:/data/**a**_b_.tsv); please" in sentence
        page.get_by_role("button", name="Try again").click()
        final_answers(page)
        assert page.locator("[class*=st-key-note-]").count() == 0


def test_peak_memory_after_all_of_this(server: Server):
    """Three to six systems in two engines have been loaded by now."""
    status = Path(f"/proc/{server.pid}/status").read_text("utf-8")
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
    sys.stdout.write(f"peak resident memory of the server: {peak / 1e9:.2f} GB\n")
    assert peak < 2e9
