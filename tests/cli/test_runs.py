"""`hybrid runs` lists what is stored, and says what is damaged on stderr."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hybrid import cli, store
from hybrid.schema import System
from hybrid.store import StoredRun

END = "2026-11-23T02:00:00+00:00"


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def two_runs(fake_run: Callable[..., StoredRun]) -> tuple[StoredRun, StoredRun]:
    """A complete run of 3 examples, and 4 of 12 records of a newer one."""
    whole, part = (
        fake_run(run_id="a-1"),
        fake_run(run_id="b-2", repeats=2, systems=(System("llm"), System("slm"))),
    )
    part = replace(part, run=replace(part.run, created_at="2026-11-24T00:30:00+02:00"))
    with store.create(whole.run, whole.examples) as writer:
        writer.append(whole.records)
        writer.finish({}, END)
    with store.create(part.run, part.examples) as writer:
        for record in part.records[:4]:
            writer.append([record])
    return whole, part


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli.main, ["runs", *arguments])
    assert result.exit_code == 0, result.stderr
    return result


def test_runs_are_a_table(two_runs: object) -> None:
    result = run()
    assert result.stderr == ""
    assert result.stdout == (
        "run  suite    pair  engine     systems         n      state            created (UTC)\n"
        "b-2  made-up  tiny  torch/cpu  llm,slm         3 x 2  incomplete 4/12  2026-11-23 22:30\n"
        "a-1  made-up  tiny  torch/cpu  llm,slm,hybrid  3 x 1  complete         2026-11-23 01:45\n"
    )


def test_json_holds_all_of_each_run(two_runs: tuple[StoredRun, StoredRun]) -> None:
    newer, older = json.loads(run("--json").stdout)
    assert (newer["run_id"], newer["records"], newer["planned"], newer["complete"]) == ("b-2", 4, 12, False)
    assert (older["run_id"], older["records"], older["planned"], older["complete"]) == ("a-1", 9, 9, True)
    assert older["plan"]["sampling"]["max_new_tokens"] == 128
    assert older["environment"]["packages"] == {"torch": "2.13.0"}
    assert older["finished_at"] == END


def test_damaged_runs_are_notices(two_runs: object, results: Path) -> None:
    (results / "b-2" / "run.json").write_text("{")
    result = run()
    assert result.stdout.count("\n") == 2
    assert result.stderr.startswith(f"notice: {results / 'b-2' / 'run.json'} cannot be read: it is not JSON")
    assert result.stderr.count("\n") == 1
    assert [row["run_id"] for row in json.loads(run("--json").stdout)] == ["a-1"]


def test_no_runs_is_a_hint(results: Path) -> None:
    result = run()
    assert result.stdout == ""
    assert result.stderr == f"notice: There are no runs in {results}. `hybrid bench SUITE` makes one.\n"
    assert json.loads(run("--json").stdout) == []


def test_a_run_from_elsewhere_cannot_steer_the_terminal(fake_run: Callable[..., StoredRun]) -> None:
    hostile = fake_run(pair="\x1b[2J\nx", dtype="\u202e")
    store.create(hostile.run, hostile.examples).close()
    printed = run().stdout
    assert "?[2J x" in printed
    assert not {"\x1b", "\u202e"} & set(printed)


def test_runs_of_before_there_were_checksums_are_said_once(two_runs: object, results: Path) -> None:
    for run_id in ("a-1", "b-2"):
        path = results / run_id / "run.json"
        row = json.loads(path.read_text())
        path.write_text(json.dumps({name: row[name] for name in row if name not in ("checksum", "crc32")}))
    result = run()
    assert result.stderr == (
        "notice: Runs b-2 and a-1 have no checksums, being stored by an earlier version: a digit that was "
        "changed since would go unnoticed.\n"
    )
    assert result.stdout.count("\n") == 3


def test_a_problem_cannot_steer_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a\x1b[2J"
    monkeypatch.setenv("HYBRID_RESULTS", str(folder))
    (folder / "a-1").mkdir(parents=True)
    (folder / "a-1" / "run.json").write_text("{")
    damaged, none = run().stderr.splitlines()
    assert "a?[2J/a-1/run.json cannot be read" in damaged
    assert none.startswith("notice: There are no runs in ")
    assert "\x1b" not in damaged + none


def test_the_command_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['hybrid', 'runs']; from hybrid.cli import main; main(standalone_mode=False)"
    )
    process = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not {"torch", "transformers", "numpy", "pandas", "rich", "filelock"} & set(process.stdout.split())
