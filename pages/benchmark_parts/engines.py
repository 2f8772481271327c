"""Which engines run here, asked once for all visitors, in a process: several import torch to know."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import streamlit as st

from hybrid.benchmark.jobs import probe_engines
from hybrid.engines.registry import ENGINES
from hybrid.schema import Device
from hybrid.store.tables import Table
from pages.common.figure import show
from pages.common.notes import note

Missing = Mapping[str, Mapping[str, str | None]]  # by engine and kind of device; None where it runs
PAINT_S = 1.0
COLUMNS = {
    "engine": "Its name for --engine.",
    "device": "What it runs on.",
    "here": "Whether it runs on this machine as it is now, or why it does not.",
    "systems": "What it can measure.",
    "about": "What it is.",
}


class _Asked:
    """The answer, once somebody has asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answer: Future[Missing] | None = None

    def answer(self, may_ask: bool) -> Future[Missing] | None:
        with self._lock:
            if self._answer is None and may_ask:
                worker = ThreadPoolExecutor(1)
                self._answer = worker.submit(_ask)
                worker.shutdown(wait=False)
            return self._answer


def known(may_ask: bool) -> bool:
    """Whether the answer is there. may_ask: nothing is measured now that the asking would disturb."""
    answer = _asked().answer(may_ask)
    return answer is not None and answer.done()


def missing(engine: str, device: Device) -> str | None:
    """Why an engine does not run here; None where it does, and where that is not known."""
    answer = _asked().answer(False)
    if answer is None or not answer.done() or answer.exception():
        return None
    return answer.result().get(engine, {}).get(device.kind)


def table() -> None:
    """Every engine, and why some do not run here."""
    answer = _asked().answer(False)
    if answer is None or not answer.done():
        note("Each engine is asked whether it runs here; while something is being measured that waits.")
    elif error := answer.exception():
        note(str(error), "warning")
    rows = [
        (name, device, _here(name, device), ", ".join(kind.methods), kind.about)
        for name, kind in ENGINES.items()
        for device in kind.dtypes
    ]
    show(Table(COLUMNS, rows), key="engines-table")


def _here(name: str, device: str) -> str:
    if not known(False):
        return "not known yet"
    return missing(name, Device(device)) or "yes"


def _ask() -> Missing:
    time.sleep(PAINT_S)  # it takes a core for seconds: let the page go out first
    return probe_engines()


@st.cache_resource(show_spinner=False)
def _asked() -> _Asked:
    return _Asked()
