"""The bench as a person meets it: the real server in a process, Debian's Chromium in front of it.

The bundled pair answers where it is present, else the tiny random one. Each
test leaves a screenshot in screenshots/, to be looked at.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid.lock import measuring

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "hybrid" / "model" / "zoo"
SCREENSHOTS = ROOT / "screenshots"
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WAIT_MS = 60_000
SENTENCE = "The museum opens at nine o'clock on Sundays."

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no `chromium` is on the PATH")


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server takes the lock on measurements: not where a real one holds it."""
    return tmp_path_factory.mktemp("locks")


@pytest.fixture(scope="module")
def server(
    tiny_zoo: Path, locks: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """Address and process id of a running bench."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMLIT_")}
    environment["TMPDIR"] = str(locks)
    if not any(BUNDLED.glob("*/pair.json")):
        environment["HYBRID_ZOO"] = str(tiny_zoo)
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
    command += ["--server.port", str(port), "--server.headless", "true"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, cwd=log.parent)
        try:
            _await_health(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def address(server: tuple[str, int]) -> str:
    return server[0]


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


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright_api.Browser]:
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(params=["1440-light", "1440-dark", "390-light", "390-dark"])
def page(request: pytest.FixtureRequest, browser: playwright_api.Browser) -> Iterator[playwright_api.Page]:
    """A page of one width and colour scheme, on which nothing may go wrong unseen."""
    width, scheme = request.param.split("-")
    context = browser.new_context(viewport={"width": int(width), "height": 900}, color_scheme=scheme)
    page, troubles = context.new_page(), []
    page.set_default_timeout(WAIT_MS)
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda asked: troubles.append(asked.url) if _is_foreign(asked.url) else None)
    yield page
    SCREENSHOTS.mkdir(exist_ok=True)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": int(width), "height": height})
    page.screenshot(path=SCREENSHOTS / f"live-{request.param}.png")
    context.close()
    assert troubles == []


def _is_foreign(url: str) -> bool:
    return not re.match(r"(https?|wss?)://127\.0\.0\.1:|data:|blob:", url)


def _final_answers(page: playwright_api.Page) -> list[str]:
    """The three answers, once the replay is over."""
    page.get_by_role("heading", name=re.compile("answered")).wait_for()
    texts = page.locator("[data-testid=stText]")
    before: list[str] = []
    for _ in range(120):
        now = texts.all_inner_texts()
        if len(now) == 3 and all(now) and now == before:
            return now
        before = now
        page.wait_for_timeout(750)
    pytest.fail(f"the answers did not settle: {before}")


def test_a_typed_sentence_is_answered_by_all_three(page: playwright_api.Page, address: str):
    page.goto(address)
    page.get_by_role("heading", name="Press Run").wait_for()
    page.get_by_label("Prompt").fill(SENTENCE)
    page.get_by_role("button", name=re.compile("^Run")).click()
    answers = _final_answers(page)
    assert all(answer.strip() for answer in answers)
    assert page.locator(".js-plotly-plot").count() == 3
    assert page.locator("[data-testid=stException]").count() == 0
    assert page.locator("[data-testid=stAlert]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_beside_a_benchmark_a_visitor_is_told_and_tries_again(
    address: str, locks: Path, browser: playwright_api.Browser
):
    SCREENSHOTS.mkdir(exist_ok=True)
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.get_by_role("heading", name="Press Run").wait_for()
    with measuring("20261123-014512-everyday-en-de-3f9c", "file:/data/**a**_b_.tsv", folder=locks):
        page.get_by_role("button", name=re.compile("^Run")).click()
        page.get_by_role("button", name="Try again").wait_for()
        said = page.locator("[data-testid=stAlert]").inner_text()
        page.screenshot(path=SCREENSHOTS / "live-busy-1440-light.png")
    assert "(run 20261123-014512-everyday-en-de-3f9c of file:/data/**a**_b_.tsv); please" in said
    page.get_by_role("button", name="Try again").click()
    assert all(_final_answers(page))
    assert page.locator("[data-testid=stAlert]").count() == 0
    context.close()


def test_peak_memory_with_all_systems_loaded(server: tuple[str, int], browser: playwright_api.Browser):
    address, process = server
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.get_by_role("heading", name="Press Run").wait_for()
    page.get_by_role("button", name=re.compile("^Run")).click()
    page.get_by_role("heading", name=re.compile("answered")).wait_for()
    context.close()
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
    sys.stdout.write(f"peak resident memory of the server: {peak / 1e9:.2f} GB\n")
    assert peak < 2e9
