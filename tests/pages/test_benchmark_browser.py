"""The Benchmark page in a browser: two visitors share one real measurement."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid.store import list_runs, load_run
from tests.pages.conftest import LOOKS, settled, wait_for_address


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_two_visitors_and_a_real_measurement(serve: Any, visit: Callable[..., Any], tmp_path: Path):
    """Started by one, seen and cancelled by the other, gone on with to its end."""
    results = tmp_path / "results"
    visitors = visit(LOOKS[0], "benchmark"), visit(LOOKS[3], "benchmark")
    with serve(results) as server, visitors[0] as starter, visitors[1] as watcher:
        for page in (starter, watcher):
            page.goto(server.address)
            settled(page)
            page.evaluate("() => document.querySelector('a[href$=\"/benchmark\"]').click()")
            page.get_by_role("heading", name="Measure it here").wait_for()
            settled(page)
        ask(starter)
        starter.get_by_role("button", name="Start", exact=True).click()
        for page in (starter, watcher):
            page.get_by_text("Being measured", exact=True).wait_for()
            settled(page)
            assert page.get_by_role("button", name="Start", exact=True).is_disabled()
        watcher.get_by_text("Measuring: ").wait_for()
        watcher.get_by_role("button", name="Cancel").click()
        watcher.get_by_role("button", name="End it").click()
        for page in (starter, watcher):
            page.get_by_text("The last measurement", exact=True).wait_for()
            page.get_by_text("answers are stored; the rest can be measured later").wait_for()
        (part,) = list_runs(results).runs
        assert 0 < part.records < part.run.planned == 84 * 3 * 2
        starter.get_by_role("button", name="Resume").click()
        for page in (starter, watcher):
            page.get_by_text("Being measured", exact=True).wait_for()
        for page in (starter, watcher):
            page.get_by_text("The last measurement", exact=True).wait_for(timeout=150_000)
            page.get_by_text("All 504 answers are stored.").first.wait_for()  # on a busy machine it says so
            assert page.get_by_role("link", name="See it on Trade-offs").count() == 1
        stored = load_run(part.run.run_id, results)
        assert len(stored.records) == stored.run.planned
        assert stored.problems == ()
        for page in (starter, watcher):
            settled(page)


def ask(page: Any) -> None:
    """84 of briefs-en, twice over, without the pass over memory."""
    page.get_by_role("combobox", name="Suite").click()
    page.get_by_role("option", name="briefs-en").click()
    page.get_by_role("spinbutton", name="Examples").fill("84")
    page.get_by_role("spinbutton", name="Examples").press("Enter")
    page.get_by_text("= 252 answers.").wait_for()  # drawn anew: an entry before is lost
    page.get_by_role("spinbutton", name="Repeats").fill("2")
    page.get_by_role("spinbutton", name="Repeats").press("Enter")
    page.get_by_text("= 504 answers.").wait_for()  # drawn anew: a click before is lost
    page.get_by_text("Device, threads, blocks, seed, privacy").click()
    settled(page)
    page.get_by_text("Peak memory of each system").click()
    settled(page)
    page.get_by_text("--repeats=2 --no-memory").wait_for()
    wait_for_address(page, bench_suite="briefs-en", repeats="2", memory="false")
