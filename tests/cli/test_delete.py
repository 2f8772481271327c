"""`hybrid delete` removes what is named in full, damaged or not, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hybrid import cli, store
from hybrid.store import StoredRun
from tests.presentation.pairings.made_grids import results as store_sizes


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_run: Callable[..., StoredRun]) -> Path:
    """Two runs, a damaged one, a grid and a profile."""
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path))
    for run_id in ("a-1", "a-12", "bad"):
        fake = fake_run(run_id=run_id)
        store.create(fake.run, fake.examples).close()
    (tmp_path / "bad" / "run.json").write_text("{")
    return store_sizes(tmp_path)


def delete(*names: str) -> Result:
    return CliRunner().invoke(cli.main, ["delete", *names])


def names(root: Path) -> set[str]:
    return {path.name for path in (*root.iterdir(), *root.glob("*/*.jsonl"), *root.glob("devices/*"))}


def test_runs_grids_and_profiles_are_removed(root: Path) -> None:
    result = delete("a-1", "bad", "grids/grid-1", "devices/made-up")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines()[0] == "notice: a-1 was deleted."
    assert [summary.run.run_id for summary in store.list_runs().runs] == ["a-12"]
    assert names(root) & {"a-1", "bad", "grid-1.jsonl", "made-up.json"} == set()


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "latest",
        "nothing",
        "",
        "../a-1",
        "grids/none",
        "grids/../a-1/run",
        "other/grid-1",
        "/etc/passwd",
        "grids/",
    ],
)
def test_what_is_not_named_in_full_stays(root: Path, name: str) -> None:
    before = names(root)
    result = delete(name)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert names(root) == before
