"""Six visitors for two minutes: prompts, page changes and one benchmark, each undisturbed by the others."""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from hybrid.store import list_runs, load_run
from tests.made_runs import store_many
from tests.pages.conftest import CHROMIUM, FLAGS, ROOT, WAIT_MS, Server, is_foreign, is_probe, settled

MINUTES_S = 120.0
DRIFT = 0.10  # of median times, beside visitors: the bar
NOISE = 0.15  # two undisturbed runs on a shared machine with two cores have differed by so much
GROWTH_BYTES = 100e6
EXAMPLES = 100
PROMPTS = (
    "The museum opens at nine o'clock on Sundays.",
    "Please save the file before you close the window.",
    "The train to Berlin leaves from platform four.",
)
PLACES = ("Overview", "Trade-offs", "Pairings", "Examples", "Runs", "Benchmark")
Times = dict[str, list[float]]  # end-to-end seconds by system
RUNNING = "document.querySelector('[data-testid=stApp]').dataset.testScriptState"


@pytest.fixture
def patient(browser: Any) -> Iterator[Any]:
    """A browser that keeps to one core, as does what drives it: visitors bring machines of their own."""
    here, before = os.sched_getaffinity(0), _running("chromium")
    chromium = browser.browser_type.launch(executable_path=CHROMIUM, args=list(FLAGS))
    driving = {*_running("playwright/driver"), os.getpid()}
    _keep_to({min(here)}, driving | (_running("chromium") - before))
    yield chromium
    chromium.close()
    _keep_to(here, driving)


def _keep_to(cores: set[int], processes: set[int]) -> None:
    """All their threads, and whatever they start from now on."""
    for process in processes:
        with suppress(OSError):  # it has ended meanwhile
            for thread in Path(f"/proc/{process}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)


def _running(name: str) -> set[int]:
    """Processes that have this in their command."""
    processes = set()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if name.encode() in command.read_bytes():
                processes.add(int(command.parent.name))
    return processes


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_nobody_disturbs_another(serve: Callable[..., Any], request: pytest.FixtureRequest, tmp_path: Path):
    results = tmp_path / "results"
    store_many(results, 6)
    with serve(results, bundled=True) as server:
        patient = request.getfixturevalue("patient")  # only now: the server keeps to no core
        alone = [_measured_alone(server, tmp_path / "alone")]
        pages, troubles = _arrive(patient, server, 6)
        expected = {prompt: _answered(pages[0], server.address, prompt) for prompt in PROMPTS}
        _tour(pages[0], server.address)
        before = _resident(server.pid)
        _two_minutes(pages, server, expected)
        grown = _resident(server.pid) - before
        beside = _times(results, next(r.run.run_id for r in list_runs(results).runs if r.run.plan.limit))
        for page in pages:
            assert page.locator("[data-testid=stException]").count() == 0
        assert troubles == []
        patient.close()
        alone.append(_measured_alone(server, tmp_path / "alone"))
    off = {}
    for system, times in beside.items():
        before_and_after = [statistics.median(run[system]) for run in alone]
        off[system] = statistics.median(times) / statistics.mean(before_and_after) - 1
        sys.stdout.write(f"{system}: alone {before_and_after} s, beside {off[system]:+.1%}\n")
    sys.stdout.write(f"the server grew by {grown / 1e6:.0f} MB\n")
    assert max(map(abs, off.values())) <= DRIFT + NOISE
    assert grown < GROWTH_BYTES


def _measured_alone(server: Server, results: Path) -> Times:
    """The same benchmark while nobody is there."""
    options = ["everyday-en-de", f"--limit={EXAMPLES}", "--no-memory", "--blocks=1"]
    command = [sys.executable, "-m", "hybrid.cli", "bench", *options]
    environment = os.environ | {
        "HYBRID_RESULTS": str(results),
        "PYTHONPATH": str(ROOT),
        "HYBRID_RUNTIME": str(server.locks),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return _times(results, done.stdout.split()[-1])


def _times(results: Path, run_id: str) -> Times:
    times: Times = {}
    for record in load_run(run_id, results).records:
        times.setdefault(record.system, []).append(record.generation.timing.total_s)
    return times


def _arrive(browser: Any, server: Server, count: int) -> tuple[list[Any], list[str]]:
    troubles: list[str] = []

    def note_error(message: Any) -> None:
        if message.type == "error" and not is_probe(message):
            troubles.append(message.text)

    pages = []
    for _ in range(count):
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", note_error)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if is_foreign(request.url) else None)
        page.goto(server.address)
        pages.append(page)
    return pages, troubles


def _tour(page: Any, address: str) -> None:
    """Every page once, so that what is loaded once is loaded."""
    page.goto(address)
    for place in PLACES:
        _go(page, place)
        settled(page)


def _go(page: Any, place: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=place).first.click()


def _ask(page: Any, prompt: str) -> None:
    page.get_by_role("textbox", name="Prompt", exact=True).fill(prompt)
    page.get_by_role("button", name=re.compile("^Run")).click()


def _answers(page: Any) -> list[str]:
    return page.locator("[class*=st-key-card-] [data-testid=stText]").all_inner_texts()


def _answered(page: Any, address: str, prompt: str) -> list[str]:
    """What all three systems answer when nobody else is there."""
    page.goto(f"{address}/live")
    page.get_by_role("heading", name="Press Run").wait_for()
    _ask(page, prompt)
    page.get_by_role("heading", name=re.compile("answered")).wait_for()
    settled(page)
    return _answers(page)


class _Asks:
    """Someone on the Live page, who asks again and again, and is told while the benchmark runs."""

    def __init__(self, page: Any, first: int, expected: dict[str, list[str]]) -> None:
        self._page, self._number, self._expected = page, first, expected
        self.answered = self.refused = 0
        _go(page, "Live")
        page.get_by_role("heading", name=re.compile("Press Run|answered")).wait_for()
        self._next()

    def step(self) -> None:
        page = self._page
        if page.evaluate(RUNNING) != "notRunning":
            return
        if page.get_by_role("button", name="Try again").count():
            self.refused += 1
            page.wait_for_timeout(500)
            with suppress(PlaywrightTimeout):  # it goes when somebody else's prompt has been answered
                page.get_by_role("button", name="Try again").click(timeout=2000)
            page.wait_for_timeout(300)
        elif page.get_by_role("heading", name=re.compile("answered")).count():
            assert _answers(page) == self._expected[self._prompt]
            self.answered += 1
            self._next()

    def _next(self) -> None:
        self._number += 1
        self._prompt = PROMPTS[self._number % len(PROMPTS)]
        _ask(self._page, self._prompt)
        self._page.wait_for_timeout(300)


class _Wanders:
    """Someone who looks at one page after another."""

    def __init__(self, page: Any, first: int) -> None:
        self._page, self._number, self.seen = page, first, 0

    def step(self) -> None:
        if self._page.evaluate(RUNNING) == "notRunning":
            self._number += 1
            _go(self._page, PLACES[self._number % len(PLACES)])
            self.seen += 1
            self._page.wait_for_timeout(700)


def _two_minutes(pages: Sequence[Any], server: Server, expected: dict[str, list[str]]) -> None:
    """One starts the benchmark and watches it, three ask, two wander."""
    first = pages[0]
    first.goto(f"{server.address}/benchmark?examples={EXAMPLES}&memory=false&blocks=1")
    first.get_by_text("--no-memory").wait_for()
    first.get_by_role("button", name="Start", exact=True).click()
    asking = [_Asks(page, number, expected) for number, page in enumerate(pages[1:4])]
    wandering = [_Wanders(page, 3 * number) for number, page in enumerate(pages[4:])]
    end = time.monotonic() + MINUTES_S
    while time.monotonic() < end:
        for visitor in (*asking, *wandering):
            visitor.step()
    first.get_by_text(re.compile(r"^All \d+ answers are stored")).first.wait_for()
    sys.stdout.write(
        f"asked: {[(one.answered, one.refused) for one in asking]} answered and refused; "
        f"pages seen: {[one.seen for one in wandering]}\n"
    )
    assert all(one.answered for one in asking)
    assert all(one.seen > 10 for one in wandering)


def _resident(pid: int) -> int:
    """Bytes of the server that are in memory now."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]
