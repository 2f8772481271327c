"""The bench as a person meets it: the real server in a process, Debian's Chromium in front of it."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import streamlit

from tests.any_machine import free_port

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "hybrid" / "models" / "zoo"
SCREENSHOTS = ROOT / "screenshots"
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WAIT_MS = 60_000
LOOKS = ("1440-light", "1440-dark", "390-light", "390-dark")

with chdir(ROOT):  # read once, where it lies: pages without a server are those of one on this machine
    assert streamlit.get_option("server.address") == "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A running bench. results, locks: the folders that it was given."""

    address: str
    pid: int
    results: Path
    locks: Path
    log: Path


@pytest.fixture(scope="session")
def serve(tiny_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """`with serve(results) as server:` runs the bench on a folder of results, with locks of its own.

    bundled: with the bundled pair where it is present, else the tiny random one.
    """

    @contextmanager
    def run(results: Path, bundled: bool = False, **extra: str) -> Iterator[Server]:
        port = free_port()
        own = tmp_path_factory.mktemp("server")
        locks = own / "locks"
        locks.mkdir()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMLIT_")}
        folders = {"HYBRID_RUNTIME": locks, "HYBRID_RESULTS": results, "PYTHONPATH": ROOT}
        environment |= {name: str(folder) for name, folder in folders.items()} | extra
        if not (bundled and any(BUNDLED.glob("*/pair.json"))):
            environment["HYBRID_ZOO"] = str(tiny_zoo)
        command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
        command += ["--server.port", str(port), "--server.headless", "true"]
        log = own / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, cwd=own)
            try:
                _await_health(f"http://127.0.0.1:{port}/_stcore/health", process, log)
                yield Server(f"http://127.0.0.1:{port}", process.pid, results, locks, log)
            finally:
                process.terminate()
                process.wait(20)
        assert "Traceback" not in log.read_text("utf-8", "replace"), log.read_text("utf-8", "replace")

    return run


def _await_health(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
        if server.poll() is not None:
            break
    pytest.fail(f"the server did not come up: {log.read_text('utf-8', 'replace')}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no `chromium` is on the PATH")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Callable[..., Any]:
    """`with visit(look="1440-light", shot="name") as page:` is a page on which nothing may go wrong unseen.

    Console errors, exception boxes, requests to other hosts and sideways scrolling fail the test. At the
    end a screenshot of the whole page is left in screenshots/, to be looked at.
    """

    @contextmanager
    def open_page(look: str = "1440-light", shot: str | None = None) -> Iterator[Any]:
        width, scheme = look.split("-")
        context = browser.new_context(
            viewport={"width": int(width), "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        page, troubles = context.new_page(), []
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: None if is_probe(message) else troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if is_foreign(request.url) else None)
        try:
            yield page
            look_at(page, f"{shot}-{look}" if shot else None)
        finally:
            context.close()
        assert troubles == []

    return open_page


def look_at(page: Any, shot: str | None = None) -> None:
    """Nothing has gone wrong on the page, and it is not wider than the window. shot: a screenshot's name."""
    assert page.locator("[data-testid=stException]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if shot:
        screenshot(page, shot)


def screenshot(page: Any, name: str) -> None:
    """The whole page, however long, in screenshots/."""
    SCREENSHOTS.mkdir(exist_ok=True)
    before = page.viewport_size
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": before["width"], "height": max(900, min(height, 6000))})
    page.wait_for_timeout(300)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    page.set_viewport_size(before)


def settled(page: Any) -> None:
    """Wait until the page's script has come to its end and its figures are drawn."""
    page.locator("[data-testid=stMain] h1").first.wait_for()
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"
    )
    page.wait_for_timeout(200)


def downloaded(page: Any, button: Any) -> Path:
    """Take what a button gives; like a person, click again where a click on a page being drawn was lost."""
    from playwright.sync_api import TimeoutError as NothingCame

    for last in (False, True):
        try:
            with page.expect_download(timeout=25_000) as download:
                button.click()
            return Path(download.value.path())
        except NothingCame:
            if last:
                raise
    raise AssertionError("both clicks ended")


def wait_for_address(page: Any, /, **choices: str | list[str]) -> None:
    """Wait until the address carries these choices, [] for none: the server writes them after drawing."""
    expected = {name: [value] if isinstance(value, str) else value for name, value in choices.items()}

    def carries(url: str) -> bool:
        query = parse_qs(urlsplit(url).query)
        return all(query.get(name, []) == values for name, values in expected.items())

    page.wait_for_url(carries)


def is_probe(message: Any) -> bool:
    """Whether it is no error, or Streamlit's own, which looks for its server below a page's address first."""
    return message.type != "error" or bool(
        re.search(r"/[a-z]+/_stcore/(health|host-config)$", message.location.get("url", ""))
    )


def is_foreign(url: str) -> bool:
    """Whether a page asks another host than its own."""
    return not re.match(r"(https?|wss?)://127\.0\.0\.1:|data:|blob:", url)


@pytest.fixture
def live_zoo(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny bundle's folder that a test may damage, for a Live page without a browser."""
    zoo = Path(shutil.copytree(tiny_zoo, tmp_path / "zoo"))
    monkeypatch.setenv("HYBRID_ZOO", str(zoo))
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path))  # not where a real measurement holds the lock
    monkeypatch.setattr("pages.live_parts.models.PAINT_S", 0.0)
    monkeypatch.setattr("hybrid.live.answers.LEAD_S", 0.0)
    return zoo


@pytest.fixture
def live(live_zoo: Path) -> Iterator[Any]:
    """A new visitor of the Live page, of a server that has loaded nothing; see live_page."""
    import streamlit as st

    from tests.pages.live_page import arrive

    st.cache_resource.clear()
    yield arrive()
    st.cache_resource.clear()
