"""A measurement has cores of its own, and the server gets them back."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import starting
from hybrid.schema import Plan
from tests.benchmark.jobs.stand_in import await_that, ended

SHOW = "import os; print(sorted(os.sched_getaffinity(0)))"


def allowed(number: int = 0) -> set[int]:
    return os.sched_getaffinity(number)


@pytest.fixture
def many() -> set[int]:
    if len(allowed()) < 2:
        pytest.skip("one core cannot be divided")
    return allowed()


@pytest.fixture
def thread() -> Iterator[int]:
    """The number of a thread that waits."""
    end, number = threading.Event(), []
    waiting = threading.Thread(target=lambda: (number.append(threading.get_native_id()), end.wait()))
    waiting.start()
    await_that(lambda: bool(number))
    yield number[0]
    end.set()
    waiting.join()


@pytest.mark.parametrize(
    ("here", "threads", "server", "measurement"),
    [
        ({0, 1}, 1, {0}, {1}),
        ({4, 6, 9}, 1, {4}, {6, 9}),
        (set(range(16)), 1, set(range(8)), set(range(8, 16))),
        (set(range(16)), 12, set(range(4)), set(range(4, 16))),
    ],
)
def test_cores_are_divided(monkeypatch: pytest.MonkeyPatch, here, threads, server, measurement):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: here)
    cores = starting.divided_cores(threads)
    assert cores == starting.Cores(frozenset(server), frozenset(measurement))


@pytest.mark.parametrize(("here", "threads"), [({3}, 1), ({0, 1}, 2), ({0, 1}, 8)])
def test_where_all_cores_are_needed_none_is_kept(monkeypatch: pytest.MonkeyPatch, here, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: here)
    assert starting.divided_cores(threads) is None


def test_where_cores_cannot_be_chosen_nothing_is_done(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("os.sched_setaffinity")
    assert starting.divided_cores(1) is None


def test_where_the_kernel_refuses_a_job_starts_all_the_same(monkeypatch: pytest.MonkeyPatch, root):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr("os.sched_setaffinity", refuse)
    assert jobs.start(Plan("file:plain", pair="tiny"), root).alive


def test_what_is_started_keeps_to_its_cores(many: set[int]):
    with starting.started_on({max(many)}):
        process = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert process.stdout == f"[{max(many)}]\n"
    assert allowed() == many


def test_all_threads_move_and_come_back(many: set[int], thread: int):
    with starting.keeping_to({min(many)}):
        assert allowed() == allowed(thread) == {min(many)}
    assert allowed() == allowed(thread) == many


def test_a_job_has_cores_that_the_server_leaves(many: set[int], root, begin):
    job = begin("plain")
    await_that(lambda: allowed() != many)
    assert allowed(job.pid) | allowed() == many
    assert allowed(job.pid) & allowed() == set()
    os.kill(job.pid, 9)
    ended(root)
    assert allowed() == many


def test_a_job_that_needs_all_cores_shares_them(many: set[int], root):
    job = jobs.start(Plan("file:plain", pair="tiny", threads=len(many)), root)
    assert allowed(job.pid) == allowed() == many
