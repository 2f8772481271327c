"""`hybrid report` writes one HTML file, or one sentence on why not."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hybrid import store
from hybrid.store import StoredRun

Run = Callable[..., Result]
END = "2026-11-23T02:00:00+00:00"


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_run: Callable[..., StoredRun]) -> Path:
    """Two runs that can be compared, and one of another suite."""
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    for run_id, plan in (("a-1", {}), ("b-2", {"threads": 2}), ("c-3", {"task": "translate-en-de"})):
        fake = fake_run(run_id=run_id, **plan)
        with store.create(fake.run, fake.examples) as writer:
            writer.append(fake.records)
            writer.finish({}, END)
    return tmp_path / "results"


def test_runs_are_written_as_one_page(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    result = run("report", "a", "b-2", "a-1", "-o", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"Report written to {path}.\n"
    page = path.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("[1] a-1: ") == page.count("[2] b-2: ") == 2
    assert "[3] " not in re.sub("<script.*?</script>", "", page, flags=re.DOTALL)


def test_a_baseline_of_another_run_is_named_by_its_beginning(run: Run, tmp_path: Path) -> None:
    assert run("report", "a", "b", "--baseline", "b:llm", "-o", str(tmp_path / "r.html")).exit_code == 0
    assert "than LLM alone of run b-2" in (tmp_path / "r.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nothing",), "There is no run 'nothing'"),
        (("a", "c", "--baseline", "a:llm"), "compare runs of one task"),
        (("a", "--baseline", "king"), "is no system"),
    ],
)
def test_what_cannot_be_compared_leaves_no_file(
    run: Run, failure: Callable[[Result], str], tmp_path: Path, arguments: tuple[str, ...], error: str
) -> None:
    assert error in failure(run("report", *arguments, "-o", str(tmp_path / "r.html")))
    assert not (tmp_path / "r.html").exists()


def test_a_dash_is_standard_output(run: Run) -> None:
    done = run("report", "a", "-o", "-")
    assert done.exit_code == 0
    assert done.stdout.startswith("<!doctype html>")
    assert "written" not in done.stderr


def test_a_file_is_needed(run: Run) -> None:
    assert run("report", "a").exit_code == 2
