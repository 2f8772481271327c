"""The engines that are in memory, a bounded number, each read once; and who may run one: one at a time.

A plain lock would let whoever asks again at once, such as a visitor with a
hundred prompts, go before one who has been waiting.
"""

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hybrid.engines.contract import Engine, EngineConfig, LoadedSystem
from hybrid.engines.registry import AUTO, best_engines, create_engines
from hybrid.errors import EngineError
from hybrid.format import parameters
from hybrid.live.answers import Request
from hybrid.models.manifest import tasks_of
from hybrid.schema import Device, Event, Notice, Status, System, Task, task_named

if TYPE_CHECKING:  # it imports torch
    from hybrid.models.sources import ZooSource

MOST_PAIRS = 2
MOST_ENGINES = 12  # each with weights of its own
POLL_S = 0.1  # between looks at who is before
THREADS = 1  # of the CPU, for every measured run
Say = Callable[[str], None]
_Place = tuple[Device, str, str]  # device, engine, method
_Group = tuple[Device, frozenset[str]]  # device, methods that name no engine


@dataclass(frozen=True)
class EngineRequest:
    """Who is asked: systems of a pair, on a device. manifest: of the pair, its files' hashes included."""

    pair: str
    manifest: Mapping[str, Any]
    device: Device
    systems: tuple[System, ...]

    def task(self, name: str) -> Task:
        """Give what the pair has under the name of a task."""
        return tasks_of(self.manifest).get(name) or task_named(name)


@dataclass(frozen=True)
class LoadedSystems:
    """A pair's systems, ready to answer. notes: how their engines came to be chosen, in sentences."""

    source: "ZooSource"
    systems: Mapping[System, LoadedSystem]
    notes: tuple[str, ...] = ()

    @property
    def ran(self) -> dict[System, str]:
        """By system, what runs it: `onnx, int8`."""
        return {
            system: f"{loaded.engine.name}, {loaded.engine.dtype}" for system, loaded in self.systems.items()
        }

    @property
    def conditions(self) -> str:
        """What the figures of a run here were measured under."""
        counts = self.source.manifest["parameters"]
        sizes = {system: parameters(n) for system, n in counts.items()}
        devices = {loaded.engine.device.kind for loaded in self.systems.values()}
        place = "GPU" if "cuda" in devices else f"CPU with {THREADS} thread"
        return (
            f"Pair {self.source.name}: the LLM has {sizes['llm']} parameters, the SLM {sizes['slm']}. "
            f"One run on this machine's {place}, {self._engines()}, greedy, after a warm-up: "
            "an impression, not a benchmark."
        )

    def notices(self, request: Request) -> tuple[str, ...]:
        """Tell what to know about a prompt; raises InputError when it cannot be answered as it is."""
        codecs = {id(loaded.codec): loaded.codec for loaded in self.systems.values()}
        notices = (
            codec.notices(request.task, request.text, request.sampling.truncate) for codec in codecs.values()
        )
        return tuple(dict.fromkeys(sentence for sentences in notices for sentence in sentences))

    def decode(self, system: System, ids: Sequence[int]) -> str:
        """Make text of generated ids, without special tokens."""
        return self.systems[system].codec.decode(ids)

    def _engines(self) -> str:
        """`engine onnx in int8`, or all that there are."""
        kinds = [f"{loaded.engine.name} in {loaded.engine.dtype}" for loaded in self.systems.values()]
        if len(set(kinds)) == 1:
            return f"engine {kinds[0]}"
        return f"engines {', '.join(dict.fromkeys(kinds))}, so that the times compare these, too"


@dataclass
class _Pair:
    """What is kept of one pair. engines: the one used last at the end. best: what AUTO came to, and why."""

    source: "ZooSource"
    engines: "OrderedDict[_Place, Engine]" = field(default_factory=OrderedDict)
    best: dict[_Group, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


class EngineCache:
    """Engines of the pairs that were used last. Threads may share it; one of them reads at a time.

    warm_up: called with each new system before it is given to anybody.
    """

    def __init__(self, warm_up: Callable[[LoadedSystem], None]) -> None:
        self._warm_up = warm_up
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()  # the one used last at the end
        self._reading = threading.Lock()  # held for seconds
        self._looking = threading.RLock()  # held for an instant, around the two dictionaries

    def ready(self, request: EngineRequest) -> LoadedSystems | None:
        """Give the requested systems, when all of them are in memory."""
        with self._looking:
            pair = self._pairs.get(_key(request))
            loaded = _in_memory(pair, request) if pair else None
            if pair and loaded:
                self._pairs.move_to_end(_key(request))
            return loaded

    def load(self, request: EngineRequest, say: Say) -> LoadedSystems:
        """Give the requested systems, reading only what is not in memory.

        say: called with how far it is. Systems that name no engine all get the
        same one, the fastest that runs all of them, so that they compare.
        Raises EngineError when an engine cannot run here, PairError when the
        pair is damaged.
        """
        say("Waiting until other models are read")
        with self._reading:
            pair = self._pair(request, say)
            for name, methods in _groups(request.systems).items():
                notes: list[str] = []

                def observe(event: Event, notes: list[str] = notes) -> None:
                    if isinstance(event, Notice):
                        notes.append(event.sentence)
                    elif isinstance(event, Status):
                        say(event.sentence)

                config = EngineConfig(pair.source, methods, request.device, "", THREADS, observer=observe)
                if name == AUTO:
                    best, _ = best_engines(config, partial(self._make, pair))
                    pair.best[request.device, frozenset(methods)] = best, tuple(notes)
                else:
                    self._make(pair, name, config)
            with self._looking:
                loaded = _in_memory(pair, request)
                self._bound()
        if loaded is None:
            raise EngineError(f"No engine here answers for all of {', '.join(request.systems)}.")
        return loaded

    def held(self) -> dict[str, tuple[str, ...]]:
        """Tell what is in memory, by pair: METHOD@ENGINE each."""
        with self._looking:
            return {
                key[0]: tuple(f"{method}@{engine}" for _, engine, method in pair.engines)
                for key, pair in self._pairs.items()
            }

    def _pair(self, request: EngineRequest, say: Say) -> _Pair:
        from hybrid.models.sources import ZooSource

        key = _key(request)
        if key not in self._pairs:
            source = ZooSource(request.pair, observer=lambda event: say(getattr(event, "sentence", "")))
            new = _Pair(source)
            with self._looking:
                for old in [k for k in self._pairs if k[0] == request.pair]:
                    del self._pairs[old]  # it was trained anew
                self._pairs[key] = new
        with self._looking:
            self._pairs.move_to_end(key)
            return self._pairs[key]

    def _make(self, pair: _Pair, name: str, config: EngineConfig) -> dict[str, Engine]:
        """Add the engines that lack, all at once: they share what they encode with."""
        lacking = tuple(m for m in config.methods if (config.device, name, m) not in pair.engines)
        if lacking:
            engines = create_engines(name, replace(config, methods=lacking))
            config.observer(Status(sentence="Warming up"))
            for method, engine in engines.items():
                self._warm_up(_loaded(pair, System(method, name), engine))
            with self._looking:
                pair.engines.update({(config.device, name, method): engines[method] for method in lacking})
        return {method: pair.engines[config.device, name, method] for method in config.methods}

    def _bound(self) -> None:
        """Forget what was not used for longest. Whoever still holds it may go on; nobody gets it anew."""
        while len(self._pairs) > MOST_PAIRS:
            self._pairs.popitem(last=False)
        while sum(len(pair.engines) for pair in self._pairs.values()) > MOST_ENGINES:
            next(pair for pair in self._pairs.values() if pair.engines).engines.popitem(last=False)


class FairLock:
    """A lock that is had in the order of coming: for those who want to run a model, in all threads."""

    def __init__(self) -> None:
        self._tickets: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def held(self, waiting: Callable[[int], None] = lambda _: None) -> Iterator[None]:
        """Wait for the lock, and hold it while the block runs.

        waiting: called again and again meanwhile, with how many are before. It
        may raise: whoever gives up leaves the queue.
        """
        ticket = object()
        with self._moved:
            self._tickets.append(ticket)
        try:
            while before := self._before(ticket):
                waiting(before)
                with self._moved:
                    self._moved.wait_for(lambda: self._tickets[0] is ticket, POLL_S)
            yield
        finally:
            with self._moved:
                self._tickets.remove(ticket)
                self._moved.notify_all()

    @property
    def taken(self) -> bool:
        """Tell whether somebody runs a model now."""
        return bool(self._tickets)

    def _before(self, ticket: object) -> int:
        with self._moved:
            return self._tickets.index(ticket)


def _key(request: EngineRequest) -> tuple[str, str]:
    """Key a pair by its manifest, which holds every file's hash: one trained anew is read anew."""
    return request.pair, json.dumps(request.manifest, sort_keys=True, default=str)


def _groups(systems: Sequence[System]) -> dict[str, tuple[str, ...]]:
    """Methods by the engine that is named for them, AUTO where none is."""
    groups: dict[str, tuple[str, ...]] = {}
    for system in systems:
        name = system.engine or AUTO
        groups[name] = (*groups.get(name, ()), system.method)
    return groups


def _in_memory(pair: _Pair, request: EngineRequest) -> LoadedSystems | None:
    """Give the requested systems from memory; None when one lacks."""
    auto = frozenset(_groups(request.systems).get(AUTO, ()))
    best, notes = pair.best.get((request.device, auto), (AUTO, ()))
    loaded: dict[System, LoadedSystem] = {}
    for system in request.systems:
        place = (request.device, system.engine or best, system.method)
        if place not in pair.engines:
            return None
        pair.engines.move_to_end(place)
        loaded[system] = _loaded(pair, system, pair.engines[place])
    return LoadedSystems(pair.source, loaded, notes)


def _loaded(pair: _Pair, system: System, engine: Engine) -> LoadedSystem:
    return LoadedSystem(system=system, engine=engine, codec=pair.source.codec(system.method))
