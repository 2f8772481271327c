"""A file of one's own: the commonest one just works, and nothing but its name is stored."""

import io
import json
import zipfile

import pytest

from hybrid.metrics import benchmark_metrics
from hybrid.schema import TASKS
from hybrid.store import load_run
from hybrid.store.importing import write_archive

FAST = (
    "--task", "translate-en-de", "--max-new-tokens", "4", "--engine", "torch", "--systems", "llm",
    "--blocks", "1",
)  # fmt: skip
FIVE = "".join(f"The house number {n} is old.\tDas Haus Nummer {n} ist alt.\n" for n in range(5))


def test_two_columns_without_names_are_measured_and_evaluated(bench, run):
    (bench.folder / "five.tsv").write_text(FIVE, "utf-8")
    sentence = bench.failed(bench.run("file:five.tsv"))
    assert sentence == (
        "error: file:five.tsv does not say its task; choose one (--task): translate-en-de, "
        "summarize, or one of a pair's own.\n"
    )
    stored = bench.stored(bench.run("file:five.tsv", *FAST))
    assert {(e.source, *e.references) for e in stored.examples} == {
        tuple(line.split("\t")) for line in FIVE.splitlines()
    }
    assert set(stored.run.signatures) == {*benchmark_metrics(TASKS["translate-en-de"])}
    result = run("evaluate", "five.tsv", "--system", "slm")
    assert result.exit_code == 0
    file, *scores = result.stdout.split("\t")
    assert (file, scores[0], scores[2]) == ("file five.tsv", "system slm", "n 5")
    assert "The task is translate-en-de; --task names another." in result.stderr
    (bench.folder / "five.csv").write_text("text;german\n" + FIVE.replace("\t", ";"), "utf-8")
    assert "could be texts or names of columns" in run("evaluate", "five.csv").stderr
    columns = ("--columns", "source=text,reference=german")
    assert run("evaluate", "five.csv", "--system", "slm", *columns).stdout.split("\t")[1:] == scores


@pytest.fixture
def elsewhere(bench, monkeypatch):
    """A folder with the suite, whose name nobody needs to know; the command runs beside it."""
    folder = bench.folder / "confidential"
    folder.mkdir()
    (bench.folder / "suite.tsv").rename(folder / "suite.tsv")
    return folder


def test_nothing_that_leaves_the_machine_holds_a_folder(bench, run, elsewhere, monkeypatch):
    events = bench.folder / "events.jsonl"
    result = bench.run(f"file:{elsewhere}/suite.tsv", *FAST, "--limit", "2", f"--events={events}")
    stored = bench.stored(result)
    assert stored.run.plan.suite == "file:suite.tsv"
    folder = bench.folder / "results" / stored.run.run_id
    assert run("report", stored.run.run_id, "-o", "report.html").exit_code == 0
    archive = io.BytesIO()
    write_archive(stored.run.run_id, archive)
    outputs = [path.read_text("utf-8") for path in (*folder.iterdir(), bench.folder / "report.html", events)]
    outputs += [run(*line).stdout for line in (("export",), ("export", "--records"), ("runs", "--json"))]
    assert not [text for text in outputs if "confidential" in text]
    assert "hybrid bench file:suite.tsv --systems=llm" in outputs[-5]

    plan = folder / "run.json"  # again: where the file is, or with a sentence that says which is needed
    sentence = bench.failed(bench.run("--plan", str(plan)))
    assert (
        "There is no file suite.tsv; name it with its folders, or work in the one where it lies." in sentence
    )
    monkeypatch.chdir(elsewhere)
    assert bench.stored(bench.run("--plan", str(plan))).run.plan.suite_hash == stored.run.plan.suite_hash


def test_a_run_from_before_is_shown_exported_and_resumed_without_folders(bench, elsewhere):
    with pytest.MonkeyPatch.context() as patch:
        bench.stop_after(1, patch)
        assert bench.run(f"file:{elsewhere}/suite.tsv", *FAST).exit_code == 143
    (folder,) = (bench.folder / "results").iterdir()
    row = json.loads((folder / "run.json").read_text("utf-8"))
    row["plan"]["suite"] = f"file:{elsewhere}/suite.tsv"
    (folder / "run.json").write_text(json.dumps(row), "utf-8")
    assert load_run(folder.name).run.plan.suite == "file:suite.tsv"
    archive = io.BytesIO()
    write_archive(folder.name, archive)
    with zipfile.ZipFile(archive) as packed:
        assert json.loads(packed.read(f"{folder.name}/run.json"))["plan"]["suite"] == "file:suite.tsv"
        assert not [name for name in packed.namelist() if b"confidential" in packed.read(name)]
    stored = bench.stored(bench.run("--resume", folder.name))
    assert stored.run.plan.suite == "file:suite.tsv"
    assert "confidential" not in (folder / "run.json").read_text("utf-8")
