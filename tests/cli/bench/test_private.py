"""`hybrid bench --private`: no byte of what is stored, written or logged gives a text away."""

import json
import re

import pytest

from hybrid.benchmark import private as private_runs
from hybrid.compare import as_json, compare_runs
from hybrid.presentation.report import redo_command
from hybrid.store import load_run
from tests.leaks import content, leaked
from tests.made_runs import rewrite_lines

COLUMNS = "--columns=id=aktenzeichen,domain=abschnitt,source=unserwort,reference=ihrwort"


@pytest.fixture
def merger(bench):
    """The suite under a name, and with COLUMNS, that nobody may see."""
    lines = "".join(f"akte-{n}\t{line}" for n, line in enumerate(bench.lines))
    (bench.folder / "merger.tsv").write_text(f"aktenzeichen\tabschnitt\tunserwort\tihrwort\n{lines}", "utf-8")

    def measure(*arguments, resume=""):
        if resume:
            return bench.run("file:merger.tsv", COLUMNS, "--resume", resume, *arguments)
        fixed = ("--task", "translate-en-de", "--max-new-tokens", "6", "--engine", "torch", "--blocks", "1")
        return bench.run("file:merger.tsv", COLUMNS, *fixed, *arguments)

    return measure


@pytest.fixture
def texts(bench, merger):
    """All sources and references, and the answers that an open run of the same plan writes; it is removed."""
    stored = bench.stored(merger())
    originals = [text for e in stored.examples for text in (e.source, *e.references)]
    originals += [record.generation.text for record in stored.records]
    assert bench.invoke("delete", stored.run.run_id).exit_code == 0
    return originals


def outputs(bench, run_id: str) -> bytes:
    """All that can be made of a run: its report, and both kinds of CSV."""
    for arguments in (
        ("report", run_id, "-o", "report.html"),
        ("export", run_id, "-o", "systems.csv"),
        ("export", run_id, "--records", "-o", "records.csv"),
    ):
        result = bench.invoke(*arguments)
        assert result.exit_code == 0, result.stderr
    return b"\n".join((bench.folder / n).read_bytes() for n in ("report.html", "systems.csv", "records.csv"))


def test_no_byte_gives_away_a_text_or_what_names_it(bench, merger, texts):
    result = merger("--private", "--events", "events.jsonl")
    stored = bench.stored(result)
    run_id = stored.run.run_id
    written = content(bench.folder / "results") + outputs(bench, run_id)
    assert b"hybrid bench file:PATH " in written
    written += content(bench.folder / "tmp") + (bench.folder / "events.jsonl").read_bytes()
    written += result.output.encode()
    assert not leaked(written, texts)
    for name in ("merger", "aktenzeichen", "abschnitt", "akte-", "unserwort", "ihrwort", str(bench.folder)):
        assert name.encode() not in written, name
    assert stored.run.plan.suite.startswith("private:")
    assert (stored.run.plan.columns, stored.run.licence) == ({}, "")


def test_it_is_scored_as_an_open_one_at_least(bench, merger):
    stored, opened = (bench.stored(merger("--limit", "3", *more)) for more in (["--private"], []))
    quality = [system.summary.quality for run in (stored, opened) for system in compare_runs([run]).systems]
    private, public = quality[:3], quality[3:]
    for system, same in zip(private, public, strict=True):
        assert {name: system[name] for name in same} == same


def test_a_private_copy_compares_as_the_run_to_the_last_digit(bench, merger, texts):
    opened = bench.stored(merger("--repeats", "2", "--limit", "4"))
    result = bench.invoke("private", opened.run.run_id)
    assert result.exit_code == 0, result.stderr
    copy = load_run(result.stdout.strip())
    again = load_run(opened.run.run_id)  # scored by what it lacked

    def plain(stored):
        comparison = as_json(compare_runs([stored]))
        text = json.dumps(comparison, sort_keys=True)
        return text.replace(stored.run.run_id, "RUN").replace(stored.run.plan.suite, "SUITE")

    assert plain(copy) == plain(again)
    written = content(bench.folder / "results" / copy.run.run_id)
    assert not leaked(written, texts)
    assert b"merger" not in written
    both = as_json(compare_runs([again, copy], f"{again.run.run_id}:llm"))
    agreements = [system["against"] and system["against"]["agreement"] for system in both["systems"]]
    assert agreements[3] == 1.0  # the copy's LLM against the run's own
    assert not [warning for warning in both["warnings"] if "content" in warning]


def test_a_bundled_suite_keeps_its_name_and_its_copy_has_none_of_its_texts(bench):
    few = ("--limit=2", "--max-new-tokens=4", "--engine=torch", "--blocks=1", "--systems=llm")
    stored = bench.stored(bench.run("everyday-100-en-de", "--private", *few))
    assert stored.run.plan.suite == "everyday-100-en-de@1"
    assert stored.run.licence == "CC0-1.0"
    assert b'"source":""' in (bench.folder / "results" / stored.run.run_id / "examples.jsonl").read_bytes()


# interrupted, and resumed


def test_an_interrupted_one_needs_its_suite_again_and_no_stored_text(bench, merger, monkeypatch):
    whole = bench.stored(merger("--private", "--limit", "3"))
    with monkeypatch.context() as patched:
        bench.stop_after(5, patched)
        part = bench.stored(merger("--private", "--limit", "3"), exit_code=143)
    run_id = part.run.run_id
    assert len(part.records) == 5
    assert all(record.statistics for record in part.records)
    assert f"file:PATH --resume {run_id}" in bench.failed(bench.run("--resume", run_id))
    again = bench.stored(merger(resume=run_id))
    assert again.run.finished_at is not None

    def answers(stored):
        return [(r.example_id, r.system, r.generation.withheld, r.statistics) for r in stored.records]

    assert answers(again) == answers(whole)


@pytest.mark.parametrize("what", ["text", "secret"])
def test_it_does_not_go_on_with_other_texts_or_another_secret(bench, merger, monkeypatch, what):
    with monkeypatch.context() as patched:
        bench.stop_after(2, patched)
        run_id = bench.stored(merger("--private"), exit_code=143).run.run_id
    path = bench.folder / "merger.tsv"
    if what == "text":
        path.write_text(path.read_text("utf-8").replace("number 7", "number 9"), "utf-8")
    else:
        monkeypatch.setenv(private_runs.SECRET, "x")
    assert "other texts" in bench.failed(merger(resume=run_id))
    assert len(load_run(run_id).records) == 2


def test_an_open_run_takes_no_suite_to_go_on(bench, monkeypatch):
    with monkeypatch.context() as patched:
        bench.stop_after(2, patched)
        run_id = bench.stored(bench.measure(), exit_code=143).run.run_id
    assert "SUITE" in bench.failed(bench.run("file:suite.tsv", "--resume", run_id), exit_code=2)
    plan = f"results/{run_id}/run.json"
    assert "SUITE" in bench.failed(bench.run("file:suite.tsv", "--plan", plan), exit_code=2)


def test_its_plan_measures_the_same_texts_again_once_they_are_named(bench, merger):
    stored = bench.stored(merger("--private", "--limit", "3"))
    plan = f"results/{stored.run.run_id}/run.json"
    again = bench.stored(bench.run("file:merger.tsv", COLUMNS, "--plan", plan))
    assert again.run.plan == stored.run.plan
    assert "file:PATH --plan" in bench.failed(bench.run("--plan", plan))
    assert "other texts" in bench.failed(bench.run("file:suite.tsv", "--plan", plan))


# what cannot be


def test_no_metric_can_be_added_and_nothing_made_private_twice(bench, merger):
    run_id = bench.stored(merger("--private", "--limit", "2")).run.run_id
    assert "was lacking" in bench.invoke("score", run_id).stdout
    assert "private" in bench.failed(bench.invoke("private", run_id))
    assert "nothing was lacking" in bench.invoke("score", run_id, "--metric", "bleu").stdout
    records = bench.folder / "results" / run_id / "records.jsonl"
    rewrite_lines(records, lambda line: re.sub(r'"bleu":\[[^]]*\],', "", line))
    failed = bench.failed(bench.invoke("score", run_id, "--metric", "bleu"))
    assert "is private and holds no texts, so that it cannot be scored by BLEU" in failed


def test_runs_of_other_texts_have_no_example_in_common(bench, merger):
    first = bench.stored(merger("--private", "--limit", "2")).run.run_id
    other = bench.stored(bench.measure("--limit", "2")).run.run_id
    failed = bench.failed(bench.invoke("compare", first, other, "--baseline", f"{other}:llm"))
    assert "private" in failed
    assert "hashes" in failed
    side_by_side = bench.invoke("compare", first, other)
    assert "other content" in side_by_side.stdout + side_by_side.stderr


def test_what_goes_wrong_is_told_on_the_terminal_and_in_no_file(bench):
    (bench.folder / "merger.tsv").write_text("The house of Miller\tis sold\tto whom\nso they say\n", "utf-8")
    result = bench.run(
        "file:merger.tsv", "--task", "translate-en-de", "--private", "--events", "events.jsonl"
    )
    assert "merger.tsv" in bench.failed(result)
    event = json.loads((bench.folder / "events.jsonl").read_text().splitlines()[-1])
    assert event["error"] == "SuiteError"
    assert "merger" not in event["sentence"]
    assert "Miller" not in event["sentence"]


def test_a_label_stands_in_the_place_of_a_name(bench, merger):
    stored = bench.stored(merger("--private", "--label", "contracts-2026", "--limit", "2"))
    assert stored.run.plan.suite == "private:contracts-2026"
    assert "private-contracts-2026" in stored.run.run_id
    unnamed = bench.stored(merger("--private", "--limit", "2"))
    assert unnamed.run.plan.suite_hash == stored.run.plan.suite_hash
    assert redo_command(stored.run).endswith(
        "--limit=2 --blocks=1 --max-new-tokens=6 --task=translate-en-de --private --label=contracts-2026"
    )
    opened = bench.stored(merger("--limit", "2"))
    copy = load_run(bench.invoke("private", opened.run.run_id, "--label", "contracts").stdout.strip())
    assert copy.run.plan.suite == "private:contracts"


@pytest.mark.parametrize("arguments", [("--label", "x"), ("--private", "--label", "of two words")])
def test_what_is_no_label(bench, merger, arguments):
    assert "--label" in bench.failed(merger(*arguments), exit_code=2)
