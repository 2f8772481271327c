"""The Benchmark page: what is asked becomes a job that every visitor sees, and nobody can start a second."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.benchmark import jobs
from hybrid.compare import summaries
from hybrid.format import amount, duration
from hybrid.measuring.lock import measuring
from hybrid.presentation.access import ANY_FILE, READ_ONLY
from hybrid.schema import Plan, System
from hybrid.store import load_run
from hybrid.suites import load_suite
from tests.benchmark.jobs.stand_in import await_that, ended, installed
from tests.made_runs import store_run

APP = Path(__file__).parents[2] / "app.py"
MISSING = {"torch": {"cpu": None, "cuda": "No GPU is here."}, "ctranslate2": {"cpu": "It is not installed."}}


@pytest.fixture
def root(tmp_path: Path, tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The results of a server that has seen nobody yet, whose jobs run a stand-in."""
    zoo = Path(shutil.copytree(tiny_zoo, tmp_path / "zoo"))
    monkeypatch.setenv("HYBRID_ZOO", str(zoo))
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pages.benchmark_parts.engines.PAINT_S", 0.0)
    monkeypatch.setattr("pages.benchmark_parts.engines.probe_engines", lambda: MISSING)
    st.cache_resource.clear()
    with installed(tmp_path, monkeypatch) as results:
        yield results
    st.cache_resource.clear()


def arrive(**address: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60).run()
    for name, value in address.items():
        page.query_params[name] = value
    return drawn(page.switch_page("pages/benchmark.py").run())


def drawn(page: AppTest) -> AppTest:
    assert not page.exception
    return page


def test_those_who_can_only_look_start_and_cancel_nothing(root, monkeypatch):
    page = arrive(bench_suite="another", name="file:plain")
    jobs.start(Plan("file:plain", pair="tiny"), root)
    cancelling = drawn(page.run())
    monkeypatch.setenv(READ_ONLY, "1")
    refusal = "This bench is read-only"
    press(cancelling, "cancel")  # a button from before, or of somebody who needs no page for that
    assert jobs.current(root).cancelled_at is None
    page = arrive()
    assert [button.key for button in page.button] == []
    assert any(refusal in text for text in texts(page))
    assert "file:plain" in " ".join(texts(page))  # what others do is seen
    os.kill(jobs.current(root).pid, signal.SIGKILL)
    await_that(lambda: jobs.current(root) is None)
    monkeypatch.delenv(READ_ONLY)
    page = arrive()
    monkeypatch.setenv(READ_ONLY, "1")
    press(page, "start")
    assert jobs.current(root) is None


@pytest.mark.parametrize("name", ["file:/etc/passwd", "file:../secret.tsv"])
def test_a_visitor_names_files_in_the_folder_of_suites_alone(name, root):
    page = arrive(bench_suite="another", name=name)
    assert any("is not in the folder of suites" in text for text in texts(page))
    assert page.button(key="start").disabled


def press(page: AppTest, key: str) -> AppTest:
    return drawn(page.button(key=key).click().run())


def texts(page: AppTest) -> list[str]:
    return [text.value for text in page.text]


def command(page: AppTest) -> str:
    """The one that would be run."""
    return page.code[-1].value


def heads(page: AppTest) -> list[str]:
    return [head.value for head in page.subheader]


# what to measure


def test_the_page_says_what_it_would_do(root: Path):
    page = arrive()
    assert page.title[0].value == "Measure it here"
    assert heads(page) == ["What to measure"]
    assert command(page) == "hybrid bench everyday-en-de --pair=tiny"
    size = len(load_suite("everyday-en-de").examples)
    assert f"{size:,} examples × 3 systems × 1 repeat = {3 * size:,} answers." in texts(page)
    assert not page.button(key="start").disabled


def test_the_time_it_takes_is_told_by_a_run_of_the_same(root: Path):
    run_id = store_run(root, suite="everyday-en-de")
    stored = load_run(run_id, root)
    taken = [float(str(row["total_ms_p50"])) / 1000 for row in summaries(stored)]
    page = arrive()
    size = len(load_suite("everyday-en-de").examples)
    of_an_example = f"In run {run_id} (A CPU, 1 thread) an example took {amount(sum(taken))} s"
    (sentence,) = [text for text in texts(page) if of_an_example in text]
    assert sentence.endswith(f": about {duration(sum(taken) * size)}.")
    page.number_input(key="repeats").set_value(100)
    page.number_input(key="examples").set_value(2 * size)  # more than there are
    page = drawn(page.run())
    assert any(text.endswith(f": about {duration(sum(taken) * size * 100)}.") for text in texts(page))


@pytest.mark.parametrize(
    "address", [{"bench_batch": "2"}, {"threads": "2"}, {"fixed": "true"}, {"bench_suite": "briefs-en"}]
)
def test_no_run_of_the_same_tells_no_time(root: Path, address: dict[str, str]):
    store_run(root, suite="everyday-en-de")
    assert not any("an example took" in text for text in texts(arrive(**address)))


def test_an_address_is_a_measurement(root: Path):
    page = arrive(
        bench_suite="briefs-en", examples="5", bench_batch="2", bench_engine="torch", seed="3", memory="false"
    )
    assert command(page) == (
        "hybrid bench briefs-en --pair=tiny --engine=torch --batch-size=2 --limit=5 --seed=3 --no-memory"
    )
    assert "5 examples × 3 systems × 1 repeat = 15 answers." in texts(page)


def test_every_choice_is_in_the_command(root: Path):
    page = arrive()
    page.multiselect(key="bench_systems").set_value([System("llm"), System("hybrid", "torch")])
    page.number_input(key="examples").set_value(9999)
    page.number_input(key="repeats").set_value(2)
    page.number_input(key="tokens").set_value(16)
    page.checkbox(key="fixed").set_value(True)
    page.number_input(key="threads").set_value(2)
    page = drawn(page.run())
    assert command(page) == (
        "hybrid bench everyday-en-de --systems=llm,hybrid@torch --pair=tiny --threads=2 --limit=9999 "
        "--repeats=2 --fixed-length=16"
    )
    size = len(load_suite("everyday-en-de").examples)
    amount = f"{size:,} examples × 2 systems × 2 repeats = {4 * size:,} answers."
    assert f"{amount} The suite has {size:,}: all are taken." in texts(page)


def test_systems_are_those_of_the_chosen_device(root: Path):
    page = arrive()
    assert "Hybrid, onnx" in page.multiselect(key="bench_systems").options
    page = page.selectbox(key="bench_device").set_value("cuda").run()
    options = page.multiselect(key="bench_systems").options
    assert "Hybrid, cuda-graph" in options
    assert "Hybrid, onnx" not in options


def test_another_suite_is_named(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ANY_FILE, "1")
    page = arrive(bench_suite="another")
    assert page.button(key="start").disabled
    assert any(text.startswith("Name the suite: everyday-en-de@1, sacrebleu:") for text in texts(page))
    page.text_input(key="name").set_value(" file:/data/a b.tsv ")
    page = drawn(page.run())
    assert page.button(key="start").disabled
    assert "file:/data/a b.tsv does not say its task: choose it beside the name." in texts(page)
    page.selectbox(key="asked-task").set_value("summarize")
    page = drawn(page.run())
    assert "'file:/data/a b.tsv'" in command(page)
    assert "--task=summarize" in command(page)
    page.text_input(key="columns").set_value("source=2,reference=3")
    page = drawn(page.run())
    assert "--columns=source=2,reference=3" in command(page)
    page.text_input(key="columns").set_value("2 and 3")
    page = drawn(page.run())
    assert page.button(key="start").disabled
    assert any(text.startswith("Columns: '2 and 3' is not like source=NAME,") for text in texts(page))
    page.text_input(key="columns").set_value("")
    page.text_input(key="name").set_value("--resume=latest")
    page = drawn(page.run())
    assert page.button(key="start").disabled
    assert any(text.startswith("There is no suite '--resume=latest'. Available: ") for text in texts(page))


def test_a_private_run_may_call_its_suite_as_the_visitor_likes(root: Path):
    page = arrive().checkbox(key="private").set_value(True).run()
    assert command(page) == "hybrid bench everyday-en-de --pair=tiny --private"
    page.text_input(key="label").set_value("contracts").run()
    assert command(page) == "hybrid bench everyday-en-de --pair=tiny --private --label=contracts"
    page.text_input(key="label").set_value("two words").run()
    assert any("two words" in text for text in texts(page))
    assert page.button(key="start").disabled


def test_an_engine_that_does_not_run_here_says_why(root: Path):
    await_that(lambda: "It is not installed." in str(engine_rows(arrive())))
    page = arrive(bench_engine="ctranslate2", bench_systems="LLM alone")
    assert "The engine ctranslate2 does not run here: It is not installed." in texts(page)
    assert page.button(key="start").disabled


def engine_rows(page: AppTest) -> list[Any]:
    return page.dataframe[0].value.values.tolist()


def test_what_cannot_go_together_is_a_sentence(root: Path):
    page = arrive(bench_engine="onnx", bench_systems="Lossless (hybrid drafts)")
    assert any(text.startswith("The engine onnx has no method lossless; these") for text in texts(page))
    assert page.button(key="start").disabled


def test_without_a_pair_or_with_a_damaged_one_there_is_a_sentence(root: Path, tmp_path: Path):
    manifest = tmp_path / "zoo" / "tiny" / "pair.json"
    whole = manifest.read_text("utf-8")
    manifest.write_text(json.dumps(json.loads(whole) | {"tasks": ["summarize"]}), "utf-8")
    assert any("but the pair tiny is for summarize (en)" in text for text in texts(arrive()))
    manifest.write_text("{", "utf-8")
    page = arrive()
    assert any("pair.json is damaged" in text for text in texts(page))
    assert page.button(key="start").disabled
    manifest.unlink()
    assert any(text.startswith("There are no pairs in ") for text in texts(arrive()))


# a job, seen by all


def test_every_visitor_sees_the_job_and_nobody_starts_another(root: Path):
    other = arrive()
    page = press(arrive(examples="5"), "start")
    assert heads(page)[0] == "Being measured"
    job = jobs.current(root)
    assert job is not None
    assert job.shown == "hybrid bench everyday-en-de --pair=tiny --limit=5"
    assert page.button(key="start").disabled
    assert any(text.startswith("everyday-en-de is being measured here since") for text in texts(page))
    other = press(other, "start")  # drawn before the job began
    assert heads(other)[0] == "Being measured"
    assert any(text.startswith("everyday-en-de is being measured here since") for text in texts(other))
    assert jobs.current(root) == job
    await_that(lambda: (job.folder / "stderr").read_text() != "")
    other = press(other, "cancel")
    ended(root)
    page = drawn(page.run())
    assert heads(page)[0] == "The last measurement"
    assert "Cancelled before anything was measured." in texts(page)
    assert not page.button(key="start").disabled


def test_a_measurement_in_a_terminal_is_named(root: Path):
    with measuring("20261123-014512-x-3f9c", "file:/data/![x](http://a.b/c.png)"):
        page = arrive()
    assert page.button(key="start").disabled
    assert any("of file:/data/![x](http://a.b/c.png), since" in text for text in texts(page))


def test_results_that_cannot_be_written_are_a_sentence(root: Path):
    page = arrive()
    root.write_text("a file")
    page = press(page, "start")
    assert any(text.startswith(f"No run can be stored in {root}: ") for text in texts(page))
    assert jobs.latest(root) is None


def test_a_failed_job_says_its_own_sentence(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ANY_FILE, "1")
    page = arrive(bench_suite="another", name="file:fail")
    page = press(page.selectbox(key="asked-task").set_value("summarize").run(), "start")
    ended(root)
    page = drawn(page.run())
    assert "There is no file x." in texts(page)
    assert any("error: There is no file x." in code.value for code in page.code)


def test_an_interrupted_run_goes_on(root: Path):
    store_run(root, 1, suite="![x](http://a.b/c.png)")
    run_id = store_run(root, 2, suite="<b>hostile</b>", answered=0.5)
    page = arrive()
    assert heads(page)[-1] == "Go on with a run that was interrupted"
    assert page.selectbox(key="resume").options == [run_id]
    assert "<b>hostile</b>, pair tiny: 18 of 36 answers." in texts(page)
    page = press(page, "go-on")
    job = jobs.current(root)
    assert job is not None
    assert job.shown == f"hybrid bench --resume={run_id}"
    assert heads(page)[0] == "Being measured"
    assert not any(head.startswith("Go on") for head in heads(page))


def test_what_was_chosen_on_another_page_stays_there(root: Path):
    shutil.copytree(APP.parent / "results" / "devices", root / "devices")
    page = drawn(AppTest.from_file(str(APP), default_timeout=60).run().switch_page("pages/pairings.py").run())
    page.select_slider(key="at-once").set_value(8)
    page = drawn(page.select_slider(key="prompt-tokens").set_value(512).run())
    page = drawn(page.switch_page("pages/tradeoffs.py").run().switch_page("pages/benchmark.py").run())
    assert page.number_input(key="bench_batch").value == 1
    assert page.selectbox(key="bench_device").value == "cpu"
    assert page.selectbox(key="bench_suite").value == "everyday-en-de"


# in a browser


def test_a_run_that_cannot_be_read_tells_no_time(root: Path):
    run_id = store_run(root, suite="everyday-en-de")
    (root / run_id / "examples.jsonl").unlink()
    assert not any("an example took" in text for text in texts(arrive()))
