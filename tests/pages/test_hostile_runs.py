"""A run folder and prompts made to do harm show as plain text, and touch no file outside the results."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.made_runs import rewrite_lines, store_run
from tests.pages.conftest import Server, settled
from tests.pages.test_every_page import PAGES

HOSTILE = (
    "<script>window.harmed = 'script'</script>",
    "<img src=x onerror=\"window.harmed = 'image'\"> <b>bold</b> <iframe src='http://evil.example'></iframe>",
    "[a link](http://evil.example/link) ![an image](http://evil.example/image.png) **bold** :red[red]",
    "http://evil.example/bare and www.evil.example and me@evil.example",
    "w" * 5000,
    "right \u202eto\u202c left \u2067עברית\u2069 and \u200bnothing",
    '=HYPERLINK("http://evil.example", "x")',
    "+1+cmd|' /C calc'!A0",
    "$x^2$ `code` ~~gone~~ :material/delete: <!-- --> &lt;b&gt; {curly} %s",
)
LINK = {
    "run": "../../etc/passwd", "suite": "<script>window.harmed = 1</script>", "pair": "../..",
    "prompt": "<img src=x onerror='window.harmed = 2'>" * 50, "limit": "1e9", "page": "-1", "engine": "\0",
    "task": "nonsense",
    "systems": "rm -rf", "sort": "__class__", "example": "../../x", "contains": "(a+)+$",
    "metric": "x" * 3000,
    "examples": "99999999999999999999", "name": "file:/etc/passwd", "device": "cuda:../..", "show": "{{7*7}}",
}  # fmt: skip
OTHERS = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("overview", "tradeoffs", "pairings", "runs")
]
NAME = (
    "<img src=x onerror=\"window.harmed='name'\"> www.evil.example me@evil.example http://evil.example "
    "../../etc [n](http://evil.example) \u202e" + "n" * 300
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results whose every name and text is hostile, beside a file that nobody may touch."""
    around = tmp_path_factory.mktemp("around")
    results = around / "results"
    (around / "precious").write_text("precious", "utf-8")
    for number, batch in enumerate((1, 8)):
        store_run(
            results, number, examples=len(HOSTILE), texts=HOSTILE, suite=NAME, device_name=NAME, pair=NAME,
            engine=NAME, dtype=NAME, batch_size=batch,
        )  # fmt: skip
    _rename_ids(results / "made-0000")
    (results / "..evil").mkdir()
    (results / "made-link").symlink_to(around)
    return results


def _rename_ids(folder: Path) -> None:
    """Ids with path separators and tags, in both files alike."""
    for name in ("examples.jsonl", "records.jsonl"):
        rewrite_lines(folder / name, lambda line: line.replace('"x-', '"../../<b>x-'))
    run = json.loads((folder / "run.json").read_text("utf-8"))
    run.pop("records_bytes", None)
    (folder / "run.json").write_text(json.dumps(run), "utf-8")


@pytest.fixture(scope="module")
def server(root: Path, serve: Callable[..., Any]) -> Iterator[Server]:
    with serve(root) as running:
        yield running


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_hostile_runs_as_they_are(
    name: str, server: Server, root: Path, visit: Callable[..., Any]
):
    before = _files(root.parent)
    with visit("390-dark", shot=f"hostile-{name}") as page:
        page.goto(server.address if name == "overview" else f"{server.address}/{name}")
        page.get_by_role("heading", name=PAGES[name]).first.wait_for()
        settled(page)
        _open_all(page)
        _assert_harmless(page)
    assert _files(root.parent) == before


@pytest.mark.parametrize("name", ["live", "benchmark", "examples", *OTHERS])
def test_a_hostile_link_is_harmless(name: str, server: Server, root: Path, visit: Callable[..., Any]):
    before = _files(root.parent)
    with visit() as page:
        page.goto(f"{server.address}/{'' if name == 'overview' else name}?{urlencode(LINK)}")
        page.get_by_role("heading", name=PAGES[name]).first.wait_for()
        settled(page)
        _assert_harmless(page)
    assert _files(root.parent) == before


def _open_all(page: Any) -> None:
    """Open every expander, so that what is folded away is looked at, too."""
    folded = page.locator("[data-testid=stExpander] details:not([open]) > summary")
    for _ in range(min(folded.count(), 6)):
        left = folded.count() - 1
        folded.first.click()
        for _ in range(100):  # until it is open, as a second click would fold it again
            if folded.count() <= left:
                break
            page.wait_for_timeout(50)
    settled(page)


def _assert_harmless(page: Any) -> None:
    assert page.evaluate("window.harmed === undefined")
    handlers = page.evaluate(
        """[...document.querySelectorAll("[data-testid=stMain] *")].filter((e) =>
             (e.href || "").includes("evil") || (e.src || "").includes("evil") ||
             ["SCRIPT", "IFRAME"].includes(e.tagName) || e.hasAttribute("onerror") ||
             (e.tagName === "IMG" && e.getAttribute("src") === "x")).map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert handlers == []


def _files(around: Path) -> dict[str, bytes]:
    """What lies beside the results, and in them but for the jobs of the Benchmark page."""
    return {
        str(path.relative_to(around)): path.read_bytes()
        for path in sorted(around.rglob("*"))
        if path.is_file() and ".jobs" not in path.parts
    }
