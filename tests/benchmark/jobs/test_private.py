"""A private measurement that a page starts: no file of its job gives away what is measured."""

from pathlib import Path

import pytest

from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import ResumeRequest
from hybrid.errors import SuiteError
from hybrid.schema import Plan
from tests.benchmark.jobs.stand_in import RUN_ID, ended
from tests.leaks import content


def test_no_file_of_a_private_job_says_what_is_measured(root: Path) -> None:
    columns = {"source": "unserwort"}
    job = jobs.start(Plan("file:fail", pair="tiny", private=True, columns=columns, task="summarize"), root)
    assert ended(root).exit_code == 1
    assert (job.suite, job.command[-3]) == ("file:PATH", "--plan=-")
    assert job.shown == "hybrid bench file:PATH --pair=tiny --task=summarize --private"
    written = content(job.folder).decode()
    assert "unserwort" not in written
    assert "file:fail" not in written
    assert not (job.folder / "stderr").exists()


def test_a_private_run_of_a_file_goes_on_from_a_command_line_alone(root: Path) -> None:
    with pytest.raises(SuiteError, match="file:PATH --resume"):
        jobs.start(ResumeRequest(run_id=RUN_ID, suite="private:0123456789ab"), root)
