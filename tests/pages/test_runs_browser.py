"""The Runs page in a browser: CSV, report, a run that goes out and comes back, a phone."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid.compare import compare_runs
from hybrid.presentation.report import html_report
from hybrid.store import load_run
from tests.made_runs import store_run
from tests.pages.conftest import ROOT, Server, downloaded, settled, wait_for_address

TITLE = "Stored runs"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("runs") / "results"
    for number, device in enumerate(("A CPU", "NVIDIA H200", "A CPU")):
        store_run(results, number, examples=30, device_name=device)
    return results


@pytest.fixture(scope="module")
def server(stored: Path, serve: Callable[..., Any]) -> Iterator[Server]:
    with serve(stored) as running:
        yield running


def open_runs(page: Any, server: Server) -> None:
    page.goto(server.address)
    settled(page)
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("heading", name=TITLE).wait_for()
    settled(page)


def tick(page: Any, *rows: int) -> None:
    """Tick rows of the list, which is drawn on a canvas."""
    for row in rows:
        address = page.url
        box = page.locator("[data-testid=stDataFrame] canvas").first.bounding_box()
        page.mouse.click(box["x"] + 16, box["y"] + 35 * (row + 1) + 17)
        page.wait_for_url(lambda url, before=address: url != before)
        settled(page)


def file_of(page: Any, label: str) -> bytes:
    return downloaded(page, page.get_by_role("button", name=label, exact=True)).read_bytes()


def exported(stored: Path, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "hybrid.cli", "export", *arguments, "-o", "-"]
    environment = os.environ | {"HYBRID_RESULTS": str(stored), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def report(stored: Path) -> Path:
    """A report beside the results, as the command writes it."""
    path = stored.parent / "report.html"
    runs = [load_run(name, stored) for name in ("made-0000", "made-0001")]
    path.write_text(html_report(compare_runs(runs), [stored.run for stored in runs]), "utf-8")
    return path


def test_csv_is_what_the_command_writes_byte_for_byte(
    server: Server, stored: Path, visit: Callable[..., Any]
):
    with visit(shot="runs-compared") as page:
        open_runs(page, server)
        assert file_of(page, "Summary CSV") == exported(stored)
        tick(page, 0, 2)
        chosen = ["made-0002", "made-0000"]
        wait_for_address(page, run=chosen)
        assert file_of(page, "Summary CSV") == exported(stored, *chosen)
        assert file_of(page, "Records CSV") == exported(stored, *chosen, "--records")
        page.get_by_role("heading", name="How much faster?").wait_for()
        report = file_of(page, "Report").decode()
        assert report.startswith("<!doctype html>")
        assert "[2] made-0000: made-up" in report


@pytest.mark.parametrize("width", [390, 1200])
def test_the_report_draws_alone_and_runs_no_other_script(report: Path, browser: Any, width: int):
    context = browser.new_context(viewport={"width": width, "height": 800})
    tab, requests, failed, troubles = context.new_page(), [], [], []
    tab.on("request", lambda event: requests.append(event.url))
    tab.on("requestfailed", lambda event: failed.append(event.failure))
    tab.on("console", lambda event: troubles.append(event.text))
    tab.on("pageerror", lambda event: troubles.append(str(event)))
    tab.goto(report.as_uri())
    tab.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 4")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert troubles == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    tab.evaluate(
        "const made = document.createElement('script'); made.textContent = 'window.harmed = 1';"
        "document.body.append(made); new Image().src = 'http://127.0.0.1:9/x.png';"
    )
    while len(troubles) < 2 or not failed:  # the policy's two refusals, and what it refused
        tab.wait_for_timeout(50)
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.harmed ?? null") is None
    assert failed == ["csp"]
    assert len(troubles) == 2
    context.close()


def test_a_run_goes_out_comes_back_and_is_deleted(
    server: Server, stored: Path, visit: Callable[..., Any], tmp_path: Path
):
    with visit() as page:
        open_runs(page, server)
        tick(page, 0)
        (tmp_path / "run.zip").write_bytes(file_of(page, "Run"))
        page.get_by_role("button", name="Import").click()
        page.set_input_files("input[type=file]", tmp_path / "run.zip")
        page.get_by_test_id("stPopoverBody").get_by_role("button", name="Import", exact=True).click()
        page.get_by_text("was imported").wait_for()
        settled(page)
        (new,) = {path.name for path in stored.iterdir()} - {"made-0000", "made-0001", "made-0002"}
        wait_for_address(page, run=new)
        for path in (stored / "made-0002").iterdir():
            assert (stored / new / path.name).read_bytes() == path.read_bytes()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("dialog").get_by_text(new).wait_for()
        page.get_by_role("button", name="Delete this run").click()
        page.get_by_text(f"Run {new} was deleted.").wait_for()
        settled(page)
        assert sorted(path.name for path in stored.iterdir()) == ["made-0000", "made-0001", "made-0002"]
        wait_for_address(page, run=[])


@pytest.mark.slow
def test_a_comparison_reads_on_a_phone_in_the_dark(server: Server, visit: Callable[..., Any]):
    with visit("390-dark", shot="runs-compared") as page:
        page.goto(server.address)
        settled(page)
        page.get_by_test_id("stExpandSidebarButton").click()
        page.get_by_role("link", name="Runs").click()
        page.get_by_role("heading", name=TITLE).wait_for()
        page.get_by_test_id("stSidebarCollapseButton").locator("button").click()
        settled(page)
        tick(page, 0, 1)
        page.get_by_role("heading", name="How much faster?").wait_for()
