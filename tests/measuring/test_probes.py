"""Probes of the machine: what they tell, and when a run counts as measured on a busy one."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from hybrid.errors import EngineError
from hybrid.measuring import device, probes
from hybrid.measuring.probes import CpuTimes, busy_reasons, take_probe
from hybrid.schema import CPU, Device, Event, Probe, Run
from hybrid.store import StoredRun

QUIET = Probe(
    taken_at="2026-11-23T01:45:00+00:00", bandwidth=2e10, product_s=0.004, cpu_share=0.99, others_share=0.02,
    steal_share=0.0,
)  # fmt: skip


@pytest.fixture
def run(fake_run: Callable[..., StoredRun]) -> Run:
    return fake_run().run


def test_a_probe_is_soon_there_and_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_STREAM_BYTES", {"cpu": 2**22})
    monkeypatch.setattr(device, "_ENOUGH_S", 0.01)
    probe = take_probe(CPU, 1, CpuTimes.now())
    assert 1e7 < probe.bandwidth < 1e13
    assert 1e-5 < probe.product_s < 60
    assert 0 < probe.cpu_share < 1.1
    assert probe.others_share is None or 0 <= probe.others_share <= 1
    assert (probe.gpu_clock_mhz, probe.gpu_others) == (None, None)


@contextmanager
def burning() -> Iterator[None]:
    code = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_what_others_use_is_theirs_and_what_this_process_uses_is_not() -> None:
    with burning():
        since = CpuTimes.now()
        end_s = time.process_time() + 0.3
        while time.process_time() < end_s:
            pass
        now = CpuTimes.now()
    if now.all_s == since.all_s:
        pytest.skip("the system does not tell its CPU time")
    others, stolen = probes._shares(since, now)
    others_s = others * (now.all_s - since.all_s)  # a share of a machine of many cores is small
    assert others_s > 0.05
    assert others <= 1
    assert others_s + 0.25 < now.busy_s - since.busy_s
    assert stolen >= 0


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({}, None),
        ({"bandwidth": 1.85e10, "product_s": 0.0042}, None),
        ({"bandwidth": None, "product_s": None, "cpu_share": None, "others_share": None}, None),
        ({"bandwidth": 1.7e10}, "memory bandwidth moved by 18 %"),
        ({"product_s": 0.005}, "a fixed matrix product moved by 25 %"),
        ({"cpu_share": 0.62}, "the product had its core for 62 % of the time"),
        ({"others_share": 0.5}, "other processes took 50 % of the CPUs"),
        ({"steal_share": 0.2}, "other machines took 20 % of the CPUs"),
        ({"gpu_others": 2}, "2 other processes used the GPU"),
    ],
)
def test_a_run_is_busy_by_what_moved_or_was_taken(
    run: Run, other: dict[str, Any], reason: str | None
) -> None:
    probed = replace(run, probes=(QUIET, replace(QUIET, **other), QUIET))
    assert busy_reasons(probed) == ((reason,) if reason else ())


def test_what_an_idle_machine_scatters_by_is_no_move(run: Run) -> None:
    """As twelve probes of an idle virtual machine did."""
    scatter = (0.97, 0.931, 0.947, 1.032, 1.064, 0.94, 1.001, 1.01, 0.966, 0.999, 1.012, 1.021)
    probes = tuple(replace(QUIET, bandwidth=2e10 * part) for part in scatter)
    assert busy_reasons(replace(run, probes=probes)) == ()
    assert busy_reasons(replace(run, probes=(*probes, replace(QUIET, bandwidth=2.5e10))))


def test_runs_without_probes_do_not_tell(run: Run) -> None:
    assert busy_reasons(run) is None


def test_beside_a_gpu_other_processes_may_use_the_cpu(run: Run) -> None:
    on_gpu = replace(run, plan=replace(run.plan, device=Device("cuda")))
    assert busy_reasons(replace(on_gpu, probes=(QUIET, replace(QUIET, others_share=0.5)))) == ()


def test_a_place_without_room_has_no_bandwidth_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> float:
        raise EngineError("There is no room to measure.")

    monkeypatch.setattr(probes, "memory_bandwidth", full)
    events: list[Event] = []
    assert take_probe(CPU, 1, observer=events.append).bandwidth is None
    assert [event.sentence for event in events] == ["There is no room to measure."]


def test_what_nvidia_smi_does_not_tell_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "1980, [N/A], 12\n"
    answer = subprocess.CompletedProcess([], 0, rows)
    monkeypatch.setattr(probes.subprocess, "run", lambda *_, **__: answer)
    assert probes._smi("--query") == [[1980.0, None, 12.0]]

    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(probes.subprocess, "run", missing)
    assert probes._smi("--query") is None
