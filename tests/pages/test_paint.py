"""How soon a page is painted where many runs are stored; for a quiet machine."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.pages.conftest import Server
from tests.pages.made_runs import store_many
from tests.pages.test_every_page import MANY, PAGES, address_of

PAINT_S = 2.0

pytestmark = pytest.mark.quiet


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("many")
    store_many(root, MANY)
    with serve(root) as running:
        yield running


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_painted_soon(name: str, server: Server, browser: Any):
    """The title and what is under it, in a browser that has seen nothing of it; the best of three visits."""
    seconds = min(_painted_s(browser, address_of(server, name), PAGES[name]) for _ in range(3))
    sys.stdout.write(f"{name} with {MANY} runs: painted in {seconds:.2f} s\n")
    assert seconds < PAINT_S


def _painted_s(browser: Any, address: str, heading: str) -> float:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    start = time.perf_counter()
    page.goto(address)
    page.get_by_role("heading", name=heading).first.wait_for()
    seconds = time.perf_counter() - start
    context.close()
    return seconds
