"""A folder of results in which jobs run the stand-in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import Job
from hybrid.schema import Plan
from tests.benchmark.jobs.stand_in import await_that, installed


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with installed(tmp_path, monkeypatch) as results:
        yield results


@pytest.fixture
def begin(root: Path) -> Callable[[str], Job]:
    """begin("plain"): a job of the suite file:plain, as soon as it sleeps; "fail" and "done" do not."""

    def begun(what: str) -> Job:
        job = jobs.start(Plan(f"file:{what}", pair="tiny"), root)
        await_that(lambda: what in ("fail", "done") or (job.folder / "stderr").read_text() != "")
        return job

    return begun
