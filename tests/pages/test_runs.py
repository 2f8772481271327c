"""The Runs page: list, choice, comparison, CSV, report, import, deletion; without a browser and in one."""

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.compare import compare
from hybrid.report import html_report
from hybrid.store import list_runs, load_run, write_archive
from pages._runs_list import CHOSEN, LISTED, TABLE
from tests.pages.conftest import Server, settled
from tests.pages.made_runs import store_many, store_run

APP = Path(__file__).parents[2] / "app.py"
ROOT = APP.parent
TITLE = "Stored runs"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    st.cache_resource.clear()
    yield tmp_path / "results"
    st.cache_resource.clear()


def arrive(**query: str | list[str]) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        page.query_params[name] = value
    return page.run().switch_page("pages/runs.py").run()


def texts(page: AppTest) -> str:
    return "\n".join(text.value for text in page.text)


def listed(page: AppTest) -> list[str]:
    return list(page.session_state[LISTED])


def press(page: AppTest, key: str) -> AppTest:
    return page.button(key=key).click().run()


# Without a browser


def test_an_empty_folder_says_how_to_make_a_run_and_takes_imports(root: Path):
    page = arrive()
    assert not page.exception
    assert "There are no runs yet" in texts(page)
    assert not page.dataframe
    assert [button.label for button in page.get("download_button")] == []


def test_the_list_has_every_run_and_names_the_damaged(root: Path):
    store_many(root, 3)
    store_run(root, 3, answered=0.5)
    store_run(root, 4)
    (root / "made-0001" / "run.json").write_text("{")
    page = arrive()
    frame = page.dataframe[0].value
    assert list(frame["run"]) == ["made-0004", "made-0003", "made-0002", "made-0000"]
    assert list(frame["state"]) == ["complete", "incomplete, 18 of 36", "complete", "complete"]
    assert frame["n"].iloc[0] == "12 x 1"
    assert "made-0001/run.json cannot be read" in texts(page)


def test_filters_and_words_leave_what_passes(root: Path):
    store_many(root, 16)
    page = arrive()
    assert len(listed(page)) == 16
    page.selectbox(key="suite").set_value("made-other").run()
    assert listed(page) == [f"made-{n:04}" for n in range(15, 0, -2)]
    page.selectbox(key="batch").set_value("8").run()
    assert listed(page) == ["made-0015", "made-0013", "made-0011", "made-0009"]
    page.text_input(key="find").set_value("H200 TORCH").run()
    assert listed(page) == ["made-0015"]
    page.text_input(key="find").set_value("nowhere").run()
    assert "No run passes the filters." in texts(page)
    assert [s.key for s in page.selectbox] == ["suite", "engine", "device", "batch"]  # one pair: no choice


def test_one_run_shows_its_own_comparison(root: Path):
    run_id = store_run(root, examples=20)
    page = arrive()
    page.multiselect(key=CHOSEN).set_value([run_id]).run()
    assert not page.exception
    assert [h.value for h in page.header] == ["What it says"]
    assert "Hybrid answers " in texts(page)
    assert "hybrid is " in texts(page)
    assert page.session_state[TABLE]["selection"]["rows"] == [0]
    assert list(page.dataframe[1].value["system"]) == ["LLM alone", "SLM alone", "Hybrid"]


def test_several_runs_are_compared_with_warnings_and_a_chosen_baseline(root: Path):
    one, two = store_run(root, 0, examples=20), store_run(root, 0, examples=20, device_name="NVIDIA H200")
    page = arrive()
    page.multiselect(key=CHOSEN).set_value([one, two]).run()
    assert not page.exception
    assert "device name (NVIDIA H200 and A CPU)" in texts(page)
    assert f"[1] {one}: " in texts(page)
    assert f"[2] {two}: " in texts(page)
    assert texts(page).count("is what the others are compared with") == 2
    page.selectbox(key="baseline").set_value(f"SLM alone of {two}").run()
    assert texts(page).count("is what the others are compared with") == 1
    assert "LLM alone [1] takes " in texts(page)


def test_what_cannot_be_compared_is_a_sentence(root: Path):
    one, two = store_run(root, 0), store_run(root, 1, suite="other", task="summarize")
    page = arrive()
    page.multiselect(key=CHOSEN).set_value([one, two]).run()
    assert not page.exception
    assert texts(page).count("is what the others are compared with") == 2  # each with its own
    page.selectbox(key="baseline").set_value(f"LLM alone of {one}").run()
    assert not page.exception
    assert "compare runs of one task" in texts(page)
    assert not page.subheader
    empty = store_run(root, 2, answered=0.0)
    page.multiselect(key=CHOSEN).set_value([empty]).run()
    assert f"Run {empty} has no answers yet" in texts(page)


def test_very_many_chosen_runs_are_not_all_compared(root: Path):
    ids = store_many(root, 10)
    page = arrive()
    page.multiselect(key=CHOSEN).set_value(ids).run()
    assert "The first 8 of 10 chosen runs are compared." in texts(page)


def test_a_link_chooses_and_what_is_not_there_is_passed_over(root: Path):
    store_many(root, 3)
    page = arrive(run=["made-0001", "../../etc/passwd", "<script>"])
    assert page.multiselect(key=CHOSEN).value == ["made-0001"]
    assert "What it says" in [h.value for h in page.header]


def test_deleting_asks_and_keeps_by_default(root: Path):
    ids = store_many(root, 3)
    page = arrive()
    page.multiselect(key=CHOSEN).set_value(ids[:1]).run()
    press(page, "delete")
    assert ids[0] in texts(page)
    press(page, "delete-cancel")
    assert len(list_runs(root).runs) == 3
    press(page, "delete")
    press(page, "delete-confirm")
    assert not page.exception
    assert f"Run {ids[0]} was deleted." in texts(page)
    assert page.multiselect(key=CHOSEN).value == []
    assert listed(page) == [ids[2], ids[1]]
    assert not (root / ids[0]).exists()


def test_a_run_that_holds_other_files_stays_and_stays_chosen(root: Path):
    ids = store_many(root, 2)
    (root / ids[0] / "notes.txt").write_text("mine")
    page = arrive()
    page.multiselect(key=CHOSEN).set_value(ids).run()
    press(page, "delete")
    press(page, "delete-confirm")
    assert "its folder also holds 'notes.txt'" in texts(page)
    assert page.multiselect(key=CHOSEN).value == [ids[0]]


def test_an_upload_is_imported_and_chosen(root: Path, tmp_path: Path):
    run_id = store_run(tmp_path / "elsewhere")
    file = io.BytesIO()
    write_archive(run_id, file, tmp_path / "elsewhere")
    page = arrive()
    page.file_uploader[0].upload("run.zip", file.getvalue(), "application/zip").run()
    press(page, "import")
    assert not page.exception
    assert f"Run {run_id} was imported." in texts(page)
    assert page.multiselect(key=CHOSEN).value == [run_id]
    assert "Hybrid answers " in texts(page)


def test_a_hostile_upload_is_a_sentence(root: Path, tmp_path: Path):
    store_run(root)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../<b>evil</b>/run.json", "{}")
    page = arrive()
    page.file_uploader[0].upload("run.zip", file.getvalue(), "application/zip").run()
    press(page, "import")
    assert not page.exception
    assert "neither in one folder nor in none" in texts(page)
    assert sorted(path.name for path in root.iterdir()) == ["made-0000"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


# In a browser


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
        box = page.locator("[data-testid=stDataFrame] canvas").first.bounding_box()
        page.mouse.click(box["x"] + 16, box["y"] + 35 * (row + 1) + 17)
        page.wait_for_timeout(300)
        settled(page)


def downloaded(page: Any, label: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=label, exact=True).click()
    return Path(download.value.path()).read_bytes()


def exported(stored: Path, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "hybrid.cli", "export", *arguments, "-o", "-"]
    environment = os.environ | {"HYBRID_RESULTS": str(stored), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def report(stored: Path) -> Path:
    """A report beside the results, as the command writes it."""
    path = stored.parent / "report.html"
    runs = [load_run(name, stored) for name in ("made-0000", "made-0001")]
    path.write_text(html_report(compare(runs), [one.run for one in runs]), "utf-8")
    return path


def test_csv_is_what_the_command_writes_byte_for_byte(
    server: Server, stored: Path, visit: Callable[..., Any]
):
    with visit(shot="runs-compared") as page:
        open_runs(page, server)
        assert downloaded(page, "Summary CSV") == exported(stored)
        tick(page, 0, 2)
        assert page.url.endswith("?run=made-0002&run=made-0000")
        chosen = ("made-0002", "made-0000")
        assert downloaded(page, "Summary CSV") == exported(stored, *chosen)
        assert downloaded(page, "Records CSV") == exported(stored, *chosen, "--records")
        page.get_by_role("heading", name="How much faster?").wait_for()
        report = downloaded(page, "Report").decode()
        assert report.startswith("<!doctype html>")
        assert "[2] made-0000: made-up" in report


@pytest.mark.parametrize("width", [390, 1200])
def test_the_report_draws_alone_and_runs_no_other_script(report: Path, browser: Any, width: int):
    context = browser.new_context(viewport={"width": width, "height": 800})
    tab, asked, failed, troubles = context.new_page(), [], [], []
    tab.on("request", lambda one: asked.append(one.url))
    tab.on("requestfailed", lambda one: failed.append(one.failure))
    tab.on("console", lambda one: troubles.append(one.text))
    tab.on("pageerror", lambda one: troubles.append(str(one)))
    tab.goto(report.as_uri())
    tab.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 4")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert troubles == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    tab.evaluate(
        "const made = document.createElement('script'); made.textContent = 'window.harmed = 1';"
        "document.body.append(made); new Image().src = 'http://127.0.0.1:9/x.png';"
    )
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.harmed ?? null") is None
    assert failed == ["csp"]
    assert len(troubles) == 2  # the policy's two refusals
    context.close()


def test_a_run_goes_out_comes_back_and_is_deleted(
    server: Server, stored: Path, visit: Callable[..., Any], tmp_path: Path
):
    with visit() as page:
        open_runs(page, server)
        tick(page, 0)
        (tmp_path / "run.zip").write_bytes(downloaded(page, "Run"))
        page.get_by_role("button", name="Import").click()
        page.set_input_files("input[type=file]", tmp_path / "run.zip")
        page.get_by_test_id("stPopoverBody").get_by_role("button", name="Import", exact=True).click()
        page.get_by_text("was imported").wait_for()
        settled(page)
        (new,) = {path.name for path in stored.iterdir()} - {"made-0000", "made-0001", "made-0002"}
        assert page.url.endswith(f"?run={new}")
        for path in (stored / "made-0002").iterdir():
            assert (stored / new / path.name).read_bytes() == path.read_bytes()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("dialog").get_by_text(new).wait_for()
        page.get_by_role("button", name="Delete this run").click()
        page.get_by_text(f"Run {new} was deleted.").wait_for()
        settled(page)
        assert sorted(path.name for path in stored.iterdir()) == ["made-0000", "made-0001", "made-0002"]
        assert "run=" not in page.url


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
