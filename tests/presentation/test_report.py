"""The report: everything in one file, nothing asked of anybody, names as text, a command that redoes it."""

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hybrid.compare import compare_runs
from hybrid.presentation.report import html_report, redo_command
from hybrid.schema import Sampling, System
from hybrid.store import StoredRun, load_run
from tests.made_runs import store_run

WHEN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
EVIL = "<script>window.harmed = 1</script><img src=http://evil.example/x.png onerror='window.harmed = 2'>"


def reported(*runs: StoredRun) -> str:
    return html_report(compare_runs(runs), [stored.run for stored in runs], WHEN)


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> list[StoredRun]:
    """Two runs with all metrics of translation, on two machines."""
    root = tmp_path_factory.mktemp("results")
    ids = [store_run(root, number, device_name=name) for number, name in enumerate(("A CPU", "A GPU"))]
    return [load_run(run_id, root) for run_id in ids]


@pytest.fixture(scope="module")
def page(translated: list[StoredRun]) -> str:
    return reported(*translated)


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def words(page: str) -> str:
    """What is written between tags, without scripts and styles."""
    without = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", without))


def test_it_says_verdicts_warnings_conditions_and_how_to_redo_it(page: str, translated: list[StoredRun]):
    text, comparison = words(page), compare_runs(translated)
    assert all(system.verdict in text for system in comparison.systems)
    assert comparison.warnings
    assert all(warning in text for warning in comparison.warnings)
    for stored in translated:
        assert stored.run.plan.suite_hash in text
        assert stored.run.environment.weights_sha256 in text
        assert redo_command(stored.run) in text
        assert all(signature in text for signature in stored.run.signatures.values())
    assert "23 November 2026, 08:00 UTC" in text
    assert "Hybrid [1] answers " in text


def test_plotly_is_in_it_once_and_draws_two_figures(page: str):
    assert page.count("Plotly.newPlot(") - page.count('"Plotly.newPlot(') >= 2
    assert page.count("* plotly.js v") == 1
    assert len(re.findall(r'class="plotly-graph-div"', page)) == 2


def test_no_tag_names_another_file(page: str):
    for tag, attributes in Tags(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img"), tag
        assert not {"src", "href", "action", "onerror", "onload", "onclick"} & set(attributes), attributes


def test_the_policy_lets_only_its_own_scripts_run(page: str):
    of_policy = {"http-equiv": "Content-Security-Policy"}.items()
    policy = next(
        attributes["content"] for _, attributes in Tags(page).tags if of_policy <= attributes.items()
    )
    assert "default-src 'none'" in policy
    scripts = re.search(r"script-src ([^;]*);", policy)[1].split()
    assert len(scripts) == 4
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", source) for source in scripts)
    assert "http" not in policy


def test_names_from_elsewhere_are_text(tmp_path: Path):
    run_id = store_run(
        tmp_path, examples=8, suite=EVIL, pair=EVIL, engine=EVIL, device_name=EVIL, dtype=EVIL,
        systems=(System("llm"), System("hybrid", EVIL)),
    )  # fmt: skip
    html = reported(load_run(run_id, tmp_path))
    tags = Tags(html).tags
    assert sum(tag == "script" for tag, _ in tags) == 4
    assert not any(tag == "img" for tag, _ in tags)
    assert EVIL in words(html)


def test_a_run_without_quality_has_a_report(fake_run: Callable[..., StoredRun]):
    html = reported(fake_run(examples=8, sampling=Sampling(5, ignore_eos=True)))
    assert "there is no quality to compare" in words(html)
    assert "exactly 5 new tokens" in words(html)
    assert len(re.findall(r'class="plotly-graph-div"', html)) == 1


def test_one_system_alone_has_a_report(fake_run: Callable[..., StoredRun]):
    assert "LLM alone is the baseline" in words(reported(fake_run(systems=(System("llm"),))))
