"""The Runs page: list, choice, comparison, CSV, report, import, deletion; without a browser."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.presentation.access import READ_ONLY
from hybrid.store import list_runs, write_archive
from pages.runs_parts.listing import CHOSEN, LISTED, TABLE
from tests.made_runs import store_many, store_run

APP = Path(__file__).parents[2] / "app.py"


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


def test_those_who_can_only_look_import_and_delete_nothing(root: Path, monkeypatch: pytest.MonkeyPatch):
    store_many(root, 1)
    page = press(arrive(run="made-0000"), "delete")
    monkeypatch.setenv(READ_ONLY, "1")
    page = press(page, "delete-confirm")
    assert "This bench is read-only" in texts(page)
    assert [run.run.run_id for run in list_runs(root).runs] == ["made-0000"]
    page = arrive(run="made-0000")
    assert "This bench is read-only" in texts(page)
    assert {button.key for button in page.button} & {"delete", "import", "private-copy"} == set()
    assert [button.label for button in page.get("download_button")][:2] == ["Summary CSV", "Records CSV"]


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
    assert "Hybrid is " in texts(page)
    assert page.session_state[TABLE]["selection"]["rows"] == [0]
    assert list(page.dataframe[1].value["system"]) == ["LLM alone", "SLM alone", "Hybrid"]


def test_several_runs_are_compared_with_warnings_and_a_chosen_baseline(root: Path):
    first, second = (
        store_run(root, 0, examples=20),
        store_run(root, 0, examples=20, device_name="NVIDIA H200"),
    )
    page = arrive()
    page.multiselect(key=CHOSEN).set_value([first, second]).run()
    assert not page.exception
    assert "device name (NVIDIA H200 and A CPU)" in texts(page)
    assert f"[1] {first}: " in texts(page)
    assert f"[2] {second}: " in texts(page)
    assert texts(page).count("is what the others are compared with") == 2
    page.selectbox(key="baseline").set_value(f"SLM alone of {second}").run()
    assert texts(page).count("is what the others are compared with") == 1
    assert "LLM alone [1] takes " in texts(page)


def test_what_cannot_be_compared_is_a_sentence(root: Path):
    first, second = store_run(root, 0), store_run(root, 1, suite="other", task="summarize")
    page = arrive()
    page.multiselect(key=CHOSEN).set_value([first, second]).run()
    assert not page.exception
    assert texts(page).count("is what the others are compared with") == 2  # each with its own
    page.selectbox(key="baseline").set_value(f"LLM alone of {first}").run()
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


def test_a_private_copy_is_made_and_chosen_and_has_none_of_its_own(root: Path):
    store_run(root, examples=4)
    page = press(arrive(run="made-0000"), "private-copy")
    (copy,) = {run.run.run_id for run in list_runs(root).runs if run.run.plan.private}
    assert f"Run {copy} is a copy of run made-0000" in texts(page)
    assert page.session_state[CHOSEN] == [copy]
    assert "private-copy" not in {button.key for button in page.button}
