"""`hybrid export` writes what is stored as CSV that others can read."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from click.testing import CliRunner, Result

from hybrid import cli, store
from hybrid.compare import COLUMNS
from hybrid.compare.export import RECORD_COLUMNS
from hybrid.schema import CPU, TASKS, Memory, Probe, Run, System
from hybrid.store import StoredRun
from hybrid.store.tables import original

END = "2026-11-23T02:00:00+00:00"
HOSTILE = ('=HYPERLINK("http://x")', '-1,2\n+3;"', "@\r\n\t, Grüße 😀", "'=1", "NA", "")


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def stored(fake: StoredRun, complete: bool = True) -> Run:
    with store.create(fake.run, fake.examples) as writer:
        if not complete:
            writer.append(fake.records[:4])
            return writer.run
        writer.append(fake.records)
        return writer.finish({"llm": Memory(resident=500, before_model=300)}, END)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["export", *arguments])


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def exported(*arguments: str) -> list[dict[str, str]]:
    result = run(*arguments, "-o", "-")
    assert result.exit_code == 0, result.stderr
    return rows(result.stdout_bytes)


# A row for each system


def test_systems_of_all_complete_runs_are_rows(fake_run: Callable[..., StoredRun]) -> None:
    stored(fake_run(run_id="a-1"))
    stored(fake_run(run_id="b-2", systems=(System("slm"),), threads=2))
    stored(fake_run(run_id="c-3"), complete=False)
    table = exported()
    assert list(table[0]) == list(COLUMNS)
    assert [(row["run_id"], row["system"], row["threads"]) for row in table] == [
        ("b-2", "slm", "2"), ("a-1", "llm", "1"), ("a-1", "slm", "1"), ("a-1", "hybrid", "1"),
    ]  # fmt: skip


def test_figures_are_those_of_the_records(fake_run: Callable[..., StoredRun]) -> None:
    fake = fake_run(examples=40)
    stored(fake)
    (row,) = [row for row in exported("latest") if row["system"] == "hybrid"]
    mine = [record for record in fake.records if record.system == "hybrid"]
    totals = sorted(record.generation.timing.total_s for record in mine)
    assert float(row["total_ms_p50"]) == pytest.approx(1000 * (totals[19] + totals[20]) / 2, abs=1e-4)
    rouge = sum(record.statistics["rougeL"][0] for record in mine) / 40
    assert float(row["rougeL"]) == pytest.approx(100 * rouge)
    assert (row["n"], row["finished_at"], row["packages"]) == ("40", END, "torch 2.13.0")


# A row for each record


def test_each_record_is_a_row_with_its_conditions(fake_run: Callable[..., StoredRun]) -> None:
    fake = fake_run(repeats=2, threads=3, batch_size=1, seed=7)
    stored(fake)
    table = exported("--records")
    assert list(table[0]) == list(RECORD_COLUMNS)
    assert len(table) == len(fake.records) == 18
    assert table[4] == {
        "run_id": fake.run.run_id, "suite": "made-up", "suite_hash": fake.run.plan.suite_hash,
        "task": "summarize", "pair": "tiny", "weights_sha256": "cd" * 32, "engine": "torch", "device": CPU,
        "device_name": "cpu", "dtype": "float32", "threads": "3", "batch_size": "1", "seed": "7",
        "max_new_tokens": "128", "ignore_eos": "false", "code": "620233b", "cpu": "A CPU",
        "repeat": "0", "batch": "4", "position": "4",
        "started_at": "2026-11-23T01:45:04.123456+00:00", "example_id": "news-1", "domain": "news",
        "system": "slm", "prompt_tokens": "9", "output_tokens": "5", "finish_reason": "length",
        "text": "Answer 4.", "source": "Source 1.", "references": "Reference 1. ||| Another.",
        "total_ms": "2.78", "ttft_ms": "1.4", "tpot_ms": "0.05", "tokenize_ms": "0.204",
        "encode_ms": "0.214", "project_ms": "0.224", "prefill_ms": "0.234", "decode_ms": "1.65",
        "detokenize_ms": "0.254", "bleu": "", "chrf": "", "ter": "", "rougeL": "14.2857", "rouge1": "50.0",
        "rouge2": "25.0", "length": "0.8889", "draft_ms": "", "verify_ms": "", "drafted": "0",
        "accepted": "0", "block": "0", "disturbed": "false",
    }  # fmt: skip


def test_one_token_has_no_time_per_token(fake_run: Callable[..., StoredRun]) -> None:
    stored(fake_run(tokens=1))
    assert {row["tpot_ms"] for row in exported("--records")} == {""}


def test_scores_of_a_record_are_the_metric_s_own(fake_run: Callable[..., StoredRun]) -> None:
    from hybrid.metrics import score_alone, statistics_of

    fake = fake_run(task="translate-en-de")
    texts = ["Das Haus ist sehr alt.", "Ein Haus.", "Das alte Haus ist schön."] * 3
    references = ("Das Haus ist alt.", "Es ist ein altes Haus.")
    records = tuple(
        replace(
            record,
            generation=replace(record.generation, text=text),
            statistics=statistics_of(TASKS["translate-en-de"], text, references),
        )
        for record, text in zip(fake.records, texts, strict=True)
    )
    stored(replace(fake, records=records))
    for row, text in zip(exported("--records"), texts, strict=True):
        for metric in ("bleu", "chrf", "ter", "length"):
            assert float(row[metric]) == pytest.approx(score_alone(metric, text, references).value, abs=1e-4)
        assert row["rougeL"] == ""


def test_any_text_comes_back(fake_run: Callable[..., StoredRun], tmp_path: Path) -> None:
    fake = fake_run(examples=2)
    examples = tuple(
        replace(e, source=HOSTILE[i], references=(HOSTILE[i + 2],)) for i, e in enumerate(fake.examples)
    )
    records = tuple(
        replace(record, generation=replace(record.generation, text=text))
        for record, text in zip(fake.records, HOSTILE, strict=True)
    )
    stored(replace(fake, examples=examples, records=records))
    path = tmp_path / "a.csv"
    assert run("--records", "-o", str(path)).exit_code == 0
    frame = pandas.read_csv(path, keep_default_na=False)
    for table in (rows(path.read_bytes()), frame.to_dict("records")):
        assert tuple(original(row["text"]) for row in table) == HOSTILE
        assert [original(row["source"]) for row in table] == [HOSTILE[0]] * 3 + [HOSTILE[1]] * 3
    assert frame["total_ms"].dtype == "float64"


def test_statistics_of_unknown_length_are_left_out(fake_run: Callable[..., StoredRun]) -> None:
    fake = fake_run(systems=(System("llm"),))
    odd: list[dict[str, Any]] = [{"rougeL": (0.5,), "bleu": (1.0, 2.0)}, {"rougeL": (), "new": (1.0,)}, {}]
    records = tuple(replace(record, statistics=s) for record, s in zip(fake.records, odd, strict=True))
    stored(replace(fake, records=records))
    assert [row["rougeL"] for row in exported("--records")] == ["50.0", "", ""]


# Which runs, and where to


def test_runs_are_named_by_their_beginning_and_once(fake_run: Callable[..., StoredRun]) -> None:
    for run_id in ("a-1", "b-2"):
        stored(fake_run(run_id=run_id))
    assert [row["run_id"] for row in exported("a", "a-1", "--records")] == ["a-1"] * 9


def test_an_incomplete_run_can_be_asked_for(fake_run: Callable[..., StoredRun]) -> None:
    incomplete = stored(fake_run(), complete=False)
    for arguments, count in ((("--records",), 4), ((), 3)):
        result = run("latest", *arguments, "-o", "-")
        assert len(rows(result.stdout_bytes)) == count
        assert result.stderr == f"notice: Run {incomplete.run_id} is incomplete: 4 of 9 records.\n"


def test_without_complete_runs_it_says_so(
    fake_run: Callable[..., StoredRun], results: Path, tmp_path: Path
) -> None:
    stored(fake_run(), complete=False)
    result = run("-o", str(tmp_path / "a.csv"))
    assert result.exit_code == 1
    assert (
        result.stderr == f"error: There are no complete runs in {results}. `hybrid bench SUITE` makes one.\n"
    )
    assert not (tmp_path / "a.csv").exists()


def test_a_damaged_run_hides_no_other(fake_run: Callable[..., StoredRun], results: Path) -> None:
    for run_id in ("a-1", "b-2", "c-3", "d-4"):
        stored(fake_run(run_id=run_id))
    (results / "b-2" / "run.json").write_text("{")
    (results / "c-3" / "examples.jsonl").unlink()
    path = results / "d-4" / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"hybrid"', b'"hybrids"', 1))
    for arguments in (("--records",), ()):
        result = run(*arguments, "-o", "-")
        assert result.exit_code == 0
        assert {row["run_id"] for row in rows(result.stdout_bytes)} == {"a-1", "d-4"}
        notices = result.stderr.splitlines()
        assert all(str(results) in notice for notice in notices)
        assert any("b-2/run.json cannot be read" in notice for notice in notices)
        assert any("c-3/examples.jsonl cannot be read: No such file" in notice for notice in notices)
        assert any("d-4/records.jsonl, line 3, is damaged" in notice for notice in notices)
    named = run("c-3", "-o", "-")
    assert named.exit_code == 1
    assert named.stderr.startswith("error: ")


def test_a_run_of_an_unknown_task_hides_no_other(
    fake_run: Callable[..., StoredRun], results: Path, tmp_path: Path
) -> None:
    for run_id in ("a-1", "b-2"):
        stored(fake_run(run_id=run_id))
    path = results / "b-2" / "run.json"
    path.write_text(path.read_text("utf-8").replace('"summarize"', '"sing\\u001b[2J"'), "utf-8")
    result = run("-o", str(tmp_path / "a.csv"))
    assert result.exit_code == 0
    assert {row["run_id"] for row in rows((tmp_path / "a.csv").read_bytes())} == {"a-1"}
    assert "plan.task is 'sing" in result.stderr
    assert "\x1b" not in result.stderr
    assert run("b-2", "-o", "-").exit_code == 1


def test_a_file_is_replaced_and_the_rows_counted(fake_run: Callable[..., StoredRun], tmp_path: Path) -> None:
    stored(fake_run())
    path = tmp_path / "a.csv"
    path.write_text("old")
    result = run("-o", str(path), "--bom")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"3 rows written to {path}.\n"
    assert path.read_bytes().startswith(b"\xef\xbb\xbfrun_id,")


def test_a_file_stays_when_its_successor_fails(fake_run: Callable[..., StoredRun], tmp_path: Path) -> None:
    stored(fake_run())
    (tmp_path / "a.csv").write_text("old")
    assert run("nothing", "-o", str(tmp_path / "a.csv")).exit_code == 1
    assert (tmp_path / "a.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "results"]


def test_the_documented_columns_are_the_real_ones() -> None:
    lines = set((Path(cli.__file__).parents[2] / "results" / "README.md").read_text("utf-8").splitlines())
    for columns in (COLUMNS, RECORD_COLUMNS):
        missing = [name for name, meaning in columns.items() if f"| {name} | {meaning} |" not in lines]
        assert not missing


# Size


# Busy machines


def probed(fake: StoredRun, others_share: float) -> StoredRun:
    probe = Probe(taken_at=END, others_share=others_share)
    return replace(fake, run=replace(fake.run, probes=(probe,)))


def test_runs_on_a_busy_machine_say_so_and_are_left_out_when_asked(
    fake_run: Callable[..., StoredRun],
) -> None:
    stored(probed(fake_run(run_id="a-1"), 0.02))
    stored(probed(fake_run(run_id="b-2"), 0.48))
    stored(fake_run(run_id="c-3"))
    assert {(row["run_id"], row["busy"]) for row in exported()} == {
        ("a-1", "false"), ("b-2", "true"), ("c-3", ""),
    }  # fmt: skip
    result = run("--no-busy", "-o", "-")
    assert {row["run_id"] for row in rows(result.stdout_bytes)} == {"a-1", "c-3"}
    assert "Run b-2 is left out, as its machine was busy: other processes took 48 %" in result.stderr
    compared = CliRunner().invoke(cli.main, ["compare", "a-1", "b-2"])
    assert "slm [2] (busy machine)" in compared.stdout
    assert "slm [1] (busy machine)" not in compared.stdout
    listed = CliRunner().invoke(cli.main, ["runs"]).stdout.splitlines()
    assert ["busy machine" in line for line in sorted(listed[1:])] == [False, True, False]
    alone = CliRunner().invoke(cli.main, ["compare", "b-2", "--no-busy"])
    assert (alone.exit_code, "leave out --no-busy" in alone.stderr) == (1, True)
