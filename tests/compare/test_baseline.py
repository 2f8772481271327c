"""Which system the others are compared with."""

import pytest

from hybrid.compare import Comparison, compare_runs
from hybrid.errors import InputError
from hybrid.schema import System
from hybrid.store import StoredRun
from tests.compare.fake import make_run

N = 6


@pytest.fixture(scope="module")
def full() -> StoredRun:
    return make_run(N, run_id="full")


@pytest.fixture(scope="module")
def small() -> StoredRun:
    return make_run(N, run_id="small", systems=(System("slm"), System("hybrid")))


def pairs(comparison: Comparison) -> dict[str, str | None]:
    return {
        f"{system.summary.run_id}:{system.summary.system}": system.against
        and f"{system.against.run_id}:{system.against.system}"
        for system in comparison.systems
    }


def test_each_run_has_its_own(full: StoredRun) -> None:
    again = make_run(N, run_id="again")
    baselines = pairs(compare_runs([full, again], resamples=5))
    assert baselines["full:hybrid"] == "full:llm"
    assert baselines["again:hybrid"] == "again:llm"
    assert baselines["full:llm"] is baselines["again:llm"] is None


@pytest.mark.parametrize("first", [0, 1])
def test_a_run_without_it_takes_the_first_that_has_it(full: StoredRun, small: StoredRun, first: int) -> None:
    baselines = pairs(compare_runs([full, small] if first == 0 else [small, full], resamples=5))
    assert baselines["small:hybrid"] == baselines["small:slm"] == "full:llm"
    assert baselines["full:slm"] == "full:llm"


def test_one_for_all(full: StoredRun, small: StoredRun) -> None:
    baselines = pairs(compare_runs([full, small], "small:slm", resamples=5))
    assert baselines["small:slm"] is None
    assert {baselines[name] for name in baselines if name != "small:slm"} == {"small:slm"}
    assert baselines["full:slm"] == "small:slm"


def test_another_system(full: StoredRun) -> None:
    assert pairs(compare_runs([full], "slm", resamples=5)) == {
        "full:llm": "full:slm", "full:slm": None, "full:hybrid": "full:slm",
    }  # fmt: skip


def test_a_run_given_twice_is_compared_once(full: StoredRun) -> None:
    assert len(compare_runs([full, full], resamples=5).systems) == 3


def test_baselines_that_are_not_there(full: StoredRun, small: StoredRun) -> None:
    with pytest.raises(InputError, match="No run given has answers of the baseline llm; there are those of"):
        compare_runs([small])
    with pytest.raises(InputError, match="Run small has no answers of the baseline llm; it has those of slm"):
        compare_runs([full, small], "small:llm")
    with pytest.raises(InputError, match="run else is not among those given: full, small"):
        compare_runs([full, small], "else:llm")
    with pytest.raises(InputError, match="'gpt' is no system; available: llm, slm, hybrid"):
        compare_runs([full], "gpt")
