"""Every page in a real browser: with no run, one and many; wide and narrow, light and dark; quick; alone."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.made_runs import store_many
from tests.pages.conftest import LOOKS, Server, look_at, settled

PAGES = {
    "overview": "A large model reads, a small model writes",
    "live": "One prompt",
    "benchmark": "Measure it here",
    "tradeoffs": "Is it worth it?",
    "pairings": "Which sizes?",
    "examples": "Where does it fail?",
    "runs": "Stored runs",
}
MANY = 200
OTHER_LOOKS = [pytest.param(look, marks=pytest.mark.slow) for look in LOOKS[1:]]
STORED = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module", params=[0, 1, MANY])
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """How many runs a folder holds, and the folder."""
    root = tmp_path_factory.mktemp(f"results-{request.param}")
    store_many(root, request.param)
    return request.param, root


@pytest.fixture(scope="module")
def server(stored: tuple[int, Path], serve: Callable[..., Any]) -> Iterator[Server]:
    with serve(stored[1]) as running:
        yield running


@pytest.fixture(scope="module")
def real(serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A bench on a copy of the runs, grids and profiles that ship."""
    root = tmp_path_factory.mktemp("shipped") / "results"
    shutil.copytree(STORED, root, ignore=shutil.ignore_patterns(".*"))
    with serve(root) as running:
        yield running


@pytest.mark.timeout(300)
def test_the_pages_come_up_with_any_number_of_runs(
    server: Server, stored: tuple[int, Path], visit: Callable[..., Any]
):
    count, look = stored[0], {0: "390-dark", 1: "390-light", MANY: "1440-dark"}[stored[0]]
    with visit(look) as page:
        for name in PAGES:
            if name == "live" and count:  # it knows nothing of runs, and takes seconds to load its models
                continue
            open_page(page, server, name)
            look_at(page, f"{name}-of-{count}-runs-{look}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("look", [LOOKS[0], *OTHER_LOOKS])
def test_the_pages_show_what_ships_in_every_look(look: str, real: Server, visit: Callable[..., Any]):
    with visit(look) as page:
        for name in PAGES:
            open_page(page, real, name)
            page.wait_for_timeout(500)
            if look == LOOKS[0]:
                _tab_through(page)
            look_at(page, f"{name}-{look}")


def open_page(page: Any, server: Server, name: str) -> None:
    page.goto(address_of(server, name))
    page.get_by_role("heading", name=PAGES[name]).first.wait_for()
    settled(page)


def _tab_through(page: Any) -> None:
    """Tab from the top comes to the seven pages and into this one, and never gets stuck."""
    where = "(e => [e.tagName, e.innerText, e.ariaLabel, e.id].join())(document.activeElement)"
    seen = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        seen.add(page.evaluate(where))
    assert len(seen) >= 9


def address_of(server: Server, name: str) -> str:
    return server.address if name == "overview" else f"{server.address}/{name}"
