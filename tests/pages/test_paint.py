"""How soon a page is painted, and changes, where many runs are stored; for a quiet machine."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.made_runs import store_many
from tests.pages.conftest import Server, settled
from tests.pages.test_every_page import MANY, PAGES, address_of

PAINT_S, FILTER_S = 2.0, 1.0
NOISE = 1.5  # a gate's machine is seldom alone; what was measured is printed
FILTERS = {  # by page: a control, and what is chosen there
    "tradeoffs": ("Suite", "made-up"),
    "runs": ("Suite", "made-up"),
    "examples": ("Sort by", "Slowest"),
}
STATE = "document.querySelector('[data-testid=stApp]').dataset.testScriptState"

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("many")
    store_many(root, MANY)
    with serve(root) as running:
        yield running


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_painted_soon(name: str, server: Server, browser: Any):
    """Its title, for who has never been here and for who comes again."""
    address, heading = address_of(server, name), PAGES[name]
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    first = _painted_s(page, address, heading)
    settled(page)
    again = _best(lambda: _painted_s(page, address, heading), PAINT_S)
    context.close()
    sys.stdout.write(f"{name} with {MANY} runs: painted in {first:.2f} s, then in {again:.2f} s\n")
    assert first < PAINT_S * NOISE
    assert again < PAINT_S


def _best(measure: Callable[[], float], bar: float) -> float:
    """Measured once more where it misses its bar: the machine may have been busy with something else."""
    seconds = measure()
    return seconds if seconds < bar else min(seconds, measure())


def _painted_s(page: Any, address: str, heading: str) -> float:
    page.goto("about:blank")
    start = time.perf_counter()
    page.goto(address)
    page.get_by_role("heading", name=heading).first.wait_for()
    return time.perf_counter() - start


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_change_is_quick(name: str, server: Server, browser: Any):
    """From the choice to the end of the page's script and its figures, warm."""
    control, choice = FILTERS[name]
    seconds = _best(lambda: _filtered_s(browser, address_of(server, name), control, choice), FILTER_S)
    sys.stdout.write(f"{name} with {MANY} runs: filtered in {seconds:.2f} s\n")
    assert seconds < FILTER_S * NOISE


def _filtered_s(browser: Any, address: str, control: str, choice: str) -> float:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address)
    settled(page)
    page.get_by_role("combobox", name=control).first.click()
    option = page.get_by_role("option", name=choice, exact=True).first
    option.wait_for()
    start = time.perf_counter()
    option.click()
    page.wait_for_function(f"{STATE} === 'running'", polling=10)
    page.wait_for_function(f"{STATE} === 'notRunning'", polling=10)
    seconds = time.perf_counter() - start
    context.close()
    return seconds
