"""`hybrid score`: what it prints, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hybrid import store
from hybrid.schema import Sampling
from hybrid.store import StoredRun, load_run
from tests.compare.fake import make_run

Run = Callable[..., Result]
Failure = Callable[[Result], str]


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path))


def written(run: StoredRun) -> str:
    with store.create(run.run, run.examples) as writer:
        for record in run.records:
            writer.append([record])
    return writer.run.run_id


def test_a_metric_reaches_compare_and_exports(run: Run) -> None:
    run_id = written(make_run(8))
    before = [run("export", run_id, *more, "-o", "-").stdout for more in ((), ("--records",))]
    result = run("score", run_id, "--metric", "repetition")
    assert (result.exit_code, result.stdout) == (0, f"{run_id}: Repetition\n")
    compared = json.loads(run("compare", run_id, "--json", "--resamples", "10").stdout)
    assert compared["metrics"]["repetition"]["higher_is_better"] is False
    assert all("repetition" in system["summary"]["quality"] for system in compared["systems"])
    assert "Repetition" in run("compare", run_id, "--resamples", "10").stdout
    after = [run("export", run_id, *more, "-o", "-").stdout for more in ((), ("--records",))]
    for old, new in zip(before, after, strict=True):
        for old_line, new_line in zip(old.splitlines(), new.splitlines(), strict=True):
            assert new_line.startswith(old_line)
        assert "repetition" in new.splitlines()[0].removeprefix(old.splitlines()[0])


def test_runs_that_were_not_scored_have_no_columns_of_it(run: Run) -> None:
    scored, other = written(make_run(3)), written(make_run(3, run_id="run-b"))
    run("score", scored)
    header, *rows = run("export", scored, other, "-o", "-").stdout.splitlines()
    assert "repetition" in header
    assert [row.endswith(",,,,,,,,") for row in rows] == [False] * 3 + [True] * 3
    assert "repetition" not in run("export", other, "-o", "-").stdout


def test_all_runs_that_a_metric_can_judge(run: Run) -> None:
    ids = {written(make_run(3, run_id=f"run-{name}")) for name in "ab"}
    written(make_run(3, run_id="fixed", sampling=Sampling(max_new_tokens=16, ignore_eos=True)))
    result = run("score", "--metric", "repetition")
    assert {line.partition(":")[0] for line in result.stdout.splitlines()} == ids
    assert all("repetition" in load_run(run_id).run.signatures for run_id in ids)
    assert run("score", "--metric", "rougeL").stdout == ""
    assert "Invented numbers" in run("score", "run-a").stdout
    assert "nothing was lacking" in run("score", "run-a").stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["run-a", "--metric", "comet"], "'comet'"),
        (["--metric", "comet"], "'comet'"),
        (["run-a", "--metric", "rougeL"], "rougeL"),
        (["run-x"], "run-x"),
    ],
)
def test_one_sentence_says_what_there_is(arguments: list[str], word: str, run: Run, failure: Failure) -> None:
    written(make_run(2))
    assert word in failure(run("score", *arguments))
