"""What all visitors share: the loaded models, read once, and whose turn it is to run them.

Models are read in a thread of their own. A page only watches it, so a click, a
reload or a closed tab never interrupts the reading, and a second visitor joins it.
"""

import time
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import streamlit as st

from hybrid.errors import PairError
from hybrid.live import FairLock
from hybrid.live.answers import engines_here
from hybrid.live.model_cache import EngineCache, EngineRequest, LoadedSystems
from hybrid.models.manifest import available_pairs, tasks_of
from hybrid.schema import TASKS, Device, Observer, System, Task, silent, task_named
from hybrid.store.tables import Table
from pages.common.work import Say, Work

if TYPE_CHECKING:
    from hybrid.engines.contract import LoadedSystem

PAINT_S = 0.3
PAIR = "live_pair"  # the key of the control, and its name in the address


@st.cache_resource(show_spinner=False)
def fair_lock() -> FairLock:
    """Give the lock that whoever runs a model takes first, so that no two measurements disturb each other."""
    return FairLock()


def pairs(observer: Observer = silent) -> dict[str, dict[str, Any]]:
    """Manifests of the pairs that are here, by name; `observer` hears of damaged ones. Raises PairError."""
    return available_pairs(observer=observer)


def tasks(pair: str | None = None) -> Mapping[str, Task]:
    """Give the tasks of a pair, or of all that are here, by name; the built-in ones when there is no pair."""
    try:
        known = pairs()
    except PairError:
        return TASKS
    chosen = known.values() if pair not in known else (known[pair],)
    return {name: task for manifest in chosen for name, task in tasks_of(manifest).items()} or TASKS


def task(name: str) -> Task:
    """Give a task by its name: the chosen pair's, or another one's, or of a pair that is gone."""
    return tasks(pair()).get(name) or tasks().get(name) or task_named(name)


def pair() -> str:
    """Name the chosen pair, by the control that is drawn later, or by the address; empty without any."""
    try:
        known = pairs()
    except PairError:
        return ""
    choices = (st.session_state.get(PAIR), st.query_params.get(PAIR))
    return next((name for name in choices if name in known), next(iter(known), ""))


def load(engine_request: EngineRequest, say: Say) -> LoadedSystems:
    """Give the engines that are wanted; `say` is given a sentence on how far it is until they are ready.

    Raises HybridError when they cannot be loaded; the next call tries again.
    """
    ready = _engine_cache().ready(engine_request)
    if ready is not None:
        return ready
    _torch().result(say)
    key = (engine_request.pair, engine_request.manifest, engine_request.device, engine_request.systems)
    try:
        loaded = _loading(*key).result(say)
    except Exception:  # not when a click interrupts the page: then the work goes on, and is joined again
        _loading.clear(*key)
        raise
    _loading.clear(*key)  # what it found is in the cache, which is bounded
    return loaded


def held() -> dict[str, tuple[str, ...]]:
    """Tell what is in memory, by pair: METHOD@ENGINE each."""
    return _engine_cache().held()


def engines(say: Say) -> Table:
    """Every engine, and whether it runs here; `say` is given a sentence while each is looked at."""
    _torch().result(say)
    return _looking().result(say)


@st.cache_resource(show_spinner=False)
def _engine_cache() -> EngineCache:
    lock = fair_lock()

    def warmed(loaded: "LoadedSystem") -> None:
        from hybrid.measuring.answers import warm_up

        with lock.held():
            warm_up(loaded, next(iter(loaded.codec.tasks)))

    return EngineCache(warmed)


@st.cache_resource(show_spinner=False)
def _torch() -> Work[object]:
    return Work(_import_torch, "Starting PyTorch")


@st.cache_resource(show_spinner=False, max_entries=4)
def _loading(
    pair: str, manifest: Mapping[str, Any], device: Device, systems: tuple[System, ...]
) -> Work[LoadedSystems]:
    cache, request = _engine_cache(), EngineRequest(pair, manifest, device, systems)
    return Work(lambda say: cache.load(request, say), "Reading the models")


@st.cache_resource(show_spinner=False)
def _looking() -> Work[Table]:
    return Work(lambda _: engines_here(), "Looking at each engine")


def _import_torch(_: Say) -> object:
    time.sleep(PAINT_S)  # loading its libraries holds the interpreter: let the page go out first
    return import_module("hybrid.models.bundle")
