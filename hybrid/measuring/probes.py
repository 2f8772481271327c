"""What a machine can do just now: probed before and after each block of a run, and compared.

Whoever measures beside a busy neighbour gets other ratios too, as a system that
waits for memory loses more than one that computes. Nothing here imports torch
before a probe is taken.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from hybrid.errors import EngineError
from hybrid.format import listed, percent
from hybrid.measuring.device import fixed_product, memory_bandwidth
from hybrid.schema import Device, Notice, Observer, Probe, Run, silent

BUSY_MARK = " (busy machine)"  # behind the name of a system, or the state of a run
MOST = 0.1  # by which a figure may move, and what others may take
LEAST_CPU = 0.9  # CPU time over wall time of the product
NVIDIA_SMI = "nvidia-smi"
SMI_TIMEOUT_S = 2.0
_GPU = ("clocks.sm", "clocks.mem", "utilization.gpu")


@dataclass(frozen=True)
class CpuTimes:
    """Seconds of CPU time so far: of this process; of all; given to other machines; and idle ones, too."""

    own_s: float
    busy_s: float
    stolen_s: float
    all_s: float

    @classmethod
    def now(cls) -> "CpuTimes":
        """Read them; all but the first are 0 where the system does not tell."""
        import psutil  # not needed by those who only list runs

        mine, whole = os.times(), psutil.cpu_times()
        idle_s = whole.idle + getattr(whole, "iowait", 0.0)
        stolen_s = getattr(whole, "steal", 0.0)
        kinds = ("user", "nice", "system", "irq", "softirq")  # guests' time is in that of users
        busy_s = sum(getattr(whole, kind, 0.0) for kind in kinds)
        own_s = mine.user + mine.system + mine.children_user + mine.children_system
        return cls(own_s, busy_s, stolen_s, busy_s + idle_s + stolen_s)


def take_probe(
    device: Device, threads: int, since: CpuTimes | None = None, observer: Observer = silent
) -> Probe:
    """Probe the machine, in about a second.

    threads: of the CPU, for the bandwidth. since: from when on other processes'
    CPU time is counted. observer: sent a Notice where there is no room to
    measure the bandwidth.
    """
    others, stolen = _shares(since, CpuTimes.now()) if since else (None, None)
    bandwidth = product_s = cpu_share = None
    try:
        bandwidth = memory_bandwidth(device, "float32", threads)
        product_s, cpu_share = fixed_product()
    except EngineError as error:
        observer(Notice(sentence=str(error)))
    clock, memory_clock, use, gpu_others = _gpu(device)
    return Probe(
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        bandwidth=bandwidth,
        product_s=product_s,
        cpu_share=cpu_share,
        others_share=others,
        steal_share=stolen,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        frequency_mhz=_frequency_mhz(),
        gpu_clock_mhz=clock,
        gpu_memory_clock_mhz=memory_clock,
        gpu_use=use,
        gpu_others=gpu_others,
    )


def busy_reasons(run: Run) -> tuple[str, ...] | None:
    """Say why a run counts as measured on a busy machine; none where it does not, None without probes.

    Each figure of a probe is the best of several tries, so that what moves has
    moved for a while: a probe lies more than 10 % from the run's median, or others
    took more than 10 % of the CPU's time. Of an idle virtual machine the least and the
    greatest of twelve bandwidths lie 9 to 14 % apart, none more than 9.2 % from their median.
    """
    probes = run.probes
    if not probes:
        return None
    on_gpu = run.plan.device.kind != "cpu"
    moved = (
        ("memory bandwidth", _moved([probe.bandwidth for probe in probes])),
        ("a fixed matrix product", _moved([probe.product_s for probe in probes])),
    )
    taken = (
        ("other processes", "of the CPUs", 0.0 if on_gpu else _most(probes, lambda p: p.others_share)),
        ("other machines", "of the CPUs", _most(probes, lambda p: p.steal_share)),
    )
    reasons = [f"{what} moved by {percent(share)}" for what, share in moved if share > MOST]
    reasons += [f"{who} took {percent(share)} {of}" for who, of, share in taken if share > MOST]
    shares = [probe.cpu_share for probe in probes if probe.cpu_share is not None]
    if shares and min(shares) < LEAST_CPU:
        reasons.append(f"the product had its core for {percent(min(shares))} of the time")
    if others := max((probe.gpu_others or 0 for probe in probes), default=0):
        reasons.append(f"{others} other process{'es' * (others > 1)} used the GPU")
    return tuple(reasons)


def busy_clause(reasons: Sequence[str]) -> str:
    """Say what busy_reasons() means, for the end of a sentence."""
    return f"measured on a busy machine: {listed(reasons)}. Times and speed-ups are not those of a quiet one."


def _moved(values: Sequence[float | None]) -> float:
    """By which part the farthest one lies from the median, or the median from it."""
    known = [value for value in values if value]
    middle = median(known) if known else 0.0
    return max((max(value / middle, middle / value) - 1 for value in known), default=0.0)


def _most(probes: Sequence[Probe], value: Callable[[Probe], float | None]) -> float:
    return max((value(probe) or 0.0 for probe in probes), default=0.0)


def _shares(since: CpuTimes, now: CpuTimes) -> tuple[float | None, float | None]:
    """Parts of all CPU time that other processes used, and that other machines did."""
    all_s = now.all_s - since.all_s
    if all_s <= 0:
        return None, None
    others_s = now.busy_s - since.busy_s - (now.own_s - since.own_s)
    return min(1.0, max(0.0, others_s / all_s)), max(0.0, (now.stolen_s - since.stolen_s) / all_s)


def _frequency_mhz() -> float | None:
    with suppress(Exception):  # what a virtual machine or a container has in the place of these files
        import psutil

        frequency = psutil.cpu_freq()
        return float(frequency.current) if frequency and frequency.current else None
    return None


def _gpu(device: Device) -> tuple[float | None, float | None, float | None, int | None]:
    """Clocks in MHz, use from 0 to 1, other processes, as nvidia-smi tells them just after a product."""
    if device.kind == "cpu":
        return None, None, None, None
    import torch

    try:
        which = f"--id=GPU-{torch.cuda.get_device_properties(torch.device(device)).uuid}"
    except (AssertionError, AttributeError, RuntimeError):
        return None, None, None, None
    clock, memory_clock, use = (_smi(which, f"--query-gpu={','.join(_GPU)}") or [[None] * 3])[0]
    processes = _smi(which, "--query-compute-apps=pid")
    others = None if processes is None else max(0, len(processes) - 1)  # one of them is this one
    return clock, memory_clock, None if use is None else use / 100, others


def _smi(*arguments: str) -> list[list[float | None]] | None:
    """Rows of numbers, None for one that it does not tell; None where it does not answer."""
    command = [NVIDIA_SMI, *arguments, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return [
        [_number(cell) for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()
    ]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
