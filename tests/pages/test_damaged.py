"""A damaged run, grid or profile costs no visitor a page: it is named, left out, deleted in the browser."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.store.checks import seal
from tests.made_runs import rewrite_lines, store_run
from tests.presentation.pairings.made_grids import results as store_sizes

APP = Path(__file__).parents[2] / "app.py"
HUGE = int("9" * 400)


def rewrite_run(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change run.json, as one who then puts its checksum right."""
    row = json.loads((folder / "run.json").read_bytes())
    row.pop("crc32", None)
    change(row)
    (folder / "run.json").write_bytes(seal(json.dumps(row, indent=1).encode(), indented=True))


def of_width(width: int) -> Callable[[str], str]:
    def change(line: str) -> str:
        row = json.loads(line)
        row["statistics"] = {name: [1.0] * width for name in row["statistics"]}
        return json.dumps(row, separators=(",", ":"))

    return change


# What was found to break pages, and whether the run is damaged as a whole.
READ: dict[str, Callable[[Path], object]] = {
    "statistics-of-another-width": lambda run: rewrite_lines(run / "records.jsonl", of_width(3)),
    "no-statistics": lambda run: rewrite_lines(run / "records.jsonl", of_width(0)),
    "half-a-surrogate-pair": lambda run: rewrite_run(
        run, lambda row: row["plan"].update(suite="\ud800", pair="a\udfff")
    ),
    "no-answers": lambda run: (run / "records.jsonl").write_bytes(b"x\n" * 5),
    "no-examples": lambda run: (run / "examples.jsonl").unlink(),
    "a-task-of-a-later-version": lambda run: rewrite_run(run, lambda row: row["plan"].update(task="sing")),
}
DAMAGED: dict[str, Callable[[Path], object]] = {
    "a-number-of-400-digits": lambda run: rewrite_run(run, lambda row: row.update(memory_bandwidth=HUGE)),
    "a-count-of-400-digits": lambda run: rewrite_run(run, lambda row: row["plan"].update(threads=HUGE)),
    "30000-systems": lambda run: rewrite_run(
        run, lambda row: row["plan"].update(systems=[f"llm@e{n}" for n in range(30_000)])
    ),
    "deep": lambda run: (run / "run.json").write_bytes(b'{"a":' * 100_000),
    "empty": lambda run: (run / "run.json").write_bytes(b""),
    "no-run-json": lambda run: (run / "run.json").unlink(),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound run, and each kind of damage done to a copy of it."""
    root = tmp_path_factory.mktemp("results")
    good = root / store_run(root, examples=4)
    for name, harm in (READ | DAMAGED).items():
        shutil.copytree(good, root / name)
        harm(root / name)
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shutil.copytree(whole, tmp_path / "results")
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    st.cache_resource.clear()
    yield tmp_path / "results"
    st.cache_resource.clear()


def arrive(name: str, **query: str | list[str]) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    return page if name == "overview" else page.switch_page(f"pages/{name}.py").run()


def texts(page: AppTest) -> str:
    return "\n".join(text.value for text in page.text)


def slow(*names: str) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", ["overview", *slow("tradeoffs", "examples", "runs", "benchmark")])
def test_a_page_is_whole_among_damaged_runs(root: Path, name: str) -> None:
    page = arrive(name)
    assert not page.exception
    assert page.title or page.header
    if name != "benchmark":
        text = texts(page)
        assert all(f"{damaged}/run.json cannot be read" in text for damaged in DAMAGED), text


@pytest.mark.parametrize("name", ["tradeoffs", "runs", *slow("examples")])
@pytest.mark.parametrize("run_id", [*list(READ)[:1], *slow(*list(READ)[1:])])
def test_a_page_shows_a_run_that_is_damaged_in_part(root: Path, name: str, run_id: str) -> None:
    page = arrive(name, run=[run_id])
    assert not page.exception, page.exception
    assert page.selectbox or page.multiselect  # its controls are there
    if name == "runs":
        assert page.button(key="delete")


def test_damaged_runs_are_deleted_in_the_browser(root: Path) -> None:
    page = arrive("runs")
    choice = next(widget for widget in page.multiselect if widget.label == "Stored here and damaged")
    assert sorted(choice.options) == sorted(DAMAGED)
    choice.set_value(sorted(DAMAGED)).run()
    page.button(key="delete-damaged").click().run()
    assert all(name in texts(page) for name in DAMAGED)
    page.button(key="delete-confirm").click().run()
    assert not page.exception
    assert not {path.name for path in root.iterdir()} & DAMAGED.keys()
    assert not [widget for widget in page.multiselect if widget.label == "Stored here and damaged"]


def test_a_damaged_grid_and_profile_are_named_and_deleted(root: Path) -> None:
    store_sizes(root)
    files = {"grids/bad": b'{"format":1}\n', "devices/worse": b"[]", "devices/bad": b'{"format":1,"d_kv":0}'}
    for name, data in files.items():
        suffix = ".jsonl" if name.startswith("grids") else ".json"
        (root / f"{name}{suffix}").write_bytes(data)
    page = arrive("pairings")
    assert not page.exception
    assert page.selectbox(key="profile").options
    choice = next(widget for widget in page.multiselect if widget.label == "Stored here and damaged")
    assert sorted(choice.options) == sorted(files)
    choice.set_value(sorted(files)).run()
    page.button(key="delete-damaged").click().run()
    page.button(key="delete-confirm").click().run()
    assert not page.exception
    assert "grids/bad was deleted." in texts(page)
    assert sorted(path.name for path in (root / "devices").iterdir()) == ["made-up.json"]
    assert [path.name for path in (root / "grids").iterdir()] == ["grid-1.jsonl"]
