"""A measurement and the server that started it keep to different cores.

Many visitors on the cores of a measurement would be measured with it. Only
Linux lets a process choose; elsewhere, and where every core is needed, nothing
is done.
"""

import os
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cores:
    """Numbers of logical CPUs, disjoint."""

    server: frozenset[int]
    measurement: frozenset[int]


def divided(threads: int) -> Cores | None:
    """For a measurement half of this process's cores, at least one a thread; None where that leaves none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    kept = min(len(cores) // 2, len(cores) - threads)
    return Cores(frozenset(cores[:kept]), frozenset(cores[kept:])) if kept > 0 else None


@contextmanager
def started_on(cores: Set[int]) -> Iterator[None]:
    """Let what this thread starts inside the block run on these cores."""
    before = os.sched_getaffinity(0)
    _move(0, cores)
    try:
        yield
    finally:
        _move(0, before)


@contextmanager
def keeping_to(cores: Set[int]) -> Iterator[None]:
    """All threads of this process keep to these cores while the block runs, those to come as well."""
    before = os.sched_getaffinity(threading.main_thread().native_id or 0)
    _move_all(cores)
    try:
        yield
    finally:
        _move_all(before)


def _move_all(cores: Set[int]) -> None:
    for thread in psutil.Process().threads():
        _move(thread.id, cores)


def _move(thread: int, cores: Set[int]) -> None:
    with suppress(OSError):  # it has ended meanwhile, or a sandbox refuses: then they share their cores
        os.sched_setaffinity(thread, cores)
