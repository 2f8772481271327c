"""What all pages share: the loaded models, read once, and the lock under which they run.

Models are read in a thread of their own. A page only watches it, so a click, a
reload or a closed tab never interrupts the reading, and a second visitor joins it.
"""

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import streamlit as st

from hybrid.live import Request
from hybrid.schema import SYSTEMS, TASKS

if TYPE_CHECKING:  # the page is painted before torch is imported
    from transformers import PreTrainedTokenizerFast

    from hybrid.measure import Engine
    from hybrid.model.source import ZooSource

THREADS = 1  # of torch, for every measured run
POLL_S = 0.1
PAINT_S = 0.3


T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """A loaded pair with its warmed-up engines."""

    source: "ZooSource"
    tokenizer: "PreTrainedTokenizerFast"
    engines: tuple["Engine", ...]

    @property
    def conditions(self) -> str:
        """What the figures of a run here were measured under."""
        counts, engine = self.source.manifest["parameters"], self.engines[0]
        sizes = {system: f"{n / 1e6:.{0 if n >= 1e7 else 1}f}M" for system, n in counts.items()}
        return (
            f"Pair {self.source.name}: the LLM has {sizes['llm']} parameters, the SLM {sizes['slm']}. "
            f"One run on this machine's CPU with {THREADS} thread, engine {engine.name} in {engine.dtype}, "
            "greedy, after a warm-up: "
            "an impression of one prompt, not a benchmark."
        )

    def notices(self, request: Request) -> tuple[str, ...]:
        """What to know about a prompt; raises InputError when it cannot be answered as it is."""
        from hybrid.model.prompt import encode_prompt

        limit, truncate = self.source.max_prompt_tokens, request.sampling.truncate
        return encode_prompt(self.tokenizer, request.task, request.text, limit, truncate).notices

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


class _Work(Generic[T]):
    """Something slow under way in a thread of its own; `sentence` says how far it is."""

    def __init__(self, do: Callable[[Say], T], sentence: str) -> None:
        self.sentence = sentence
        worker = ThreadPoolExecutor(1)
        self.made: Future[T] = worker.submit(do, self._say)
        worker.shutdown(wait=False)

    def _say(self, sentence: str) -> None:
        self.sentence = sentence


@st.cache_resource(show_spinner=False)
def inference_lock() -> threading.Lock:
    """Held by whoever runs a model, so that no two measurements disturb each other."""
    return threading.Lock()


def plain(text: str) -> str:
    """Markdown that shows `text` as it is: names in it may come from other users of the machine."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def pairs(say: Say) -> dict[str, dict[str, Any]]:
    """Manifests of the pairs that are here now, by name; `say` is given a sentence while it takes."""
    _watch(_torch(), say)
    from hybrid.model.manifest import available_pairs

    return available_pairs()


def bench(pair: str | None, say: Say) -> Bench:
    """The loaded pair; `say` is given a sentence on how far it is, again and again until it is ready.

    Raises PairError when it cannot be loaded; the next call tries again.
    """
    manifest = pairs(say).get(pair or "")
    try:
        return _watch(_loading(pair, manifest), say)
    except Exception:
        _loading.clear(pair, manifest)
        raise


@st.cache_resource(show_spinner=False)
def _torch() -> _Work[object]:
    return _Work(_import_torch, "Starting PyTorch")


@st.cache_resource(show_spinner=False, max_entries=2)
def _loading(pair: str | None, manifest: dict[str, Any] | None) -> _Work[Bench]:
    # The manifest holds every file's hash: a pair that was trained anew is read anew.
    return _Work(lambda say: _load(pair, say), "Reading the models")


def _import_torch(_: Say) -> object:
    time.sleep(PAINT_S)  # loading its libraries holds the interpreter: let the page go out first
    return import_module("hybrid.model.source")


def _load(pair: str | None, say: Say) -> Bench:
    from hybrid.engines.order import Order
    from hybrid.engines.table import best_engines
    from hybrid.measure import warm_up
    from hybrid.model.source import ZooSource

    source = ZooSource(pair, progress=say)
    order = Order(source, SYSTEMS, dtype="", threads=THREADS, progress=say)
    _, made = best_engines(order, say)
    engines = tuple(made[system] for system in SYSTEMS)
    say("Warming up")
    with inference_lock():
        for engine in engines:
            warm_up(engine, next(iter(TASKS)))
    return Bench(source, source.tokenizer(), engines)


def _watch(work: _Work[T], say: Say) -> T:
    while not work.made.done():
        say(f"{work.sentence} …")  # also lets a click interrupt this page, though not the work
        time.sleep(POLL_S)
    return work.made.result()
