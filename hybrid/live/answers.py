"""Every system's answer to one prompt: measured one after another, replayed side by side at that pace.

Which systems can be asked for here is told by what is installed: nothing heavy is imported to know it.
"""

import shutil
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec

from hybrid.engines.contract import LoadedSystem
from hybrid.engines.registry import ENGINES, unavailable_reason
from hybrid.errors import BusyError, InputError
from hybrid.measuring import settled_heap
from hybrid.measuring.answers import measure_answers, warm_up_for
from hybrid.measuring.lock import LIVE, holder, measuring
from hybrid.schema import CPU, METHODS, SYSTEMS, Device, Generation, Sampling, System
from hybrid.store.tables import Table

LEAD_S = 0.4  # of a replay, for the eye to find the start and the browser to draw the cards
Answers = Mapping[System, Generation]
DEFAULT: tuple[System, ...] = SYSTEMS
MOST = 6  # systems at once: more cards than that cannot be compared by eye
ABOUT_ENGINES = {
    "engine": "What runs the models.",
    "device": "What it runs on.",
    "runs here": "Whether it can be chosen.",
    "systems": "What it can run.",
    "precision": "Of weights and arithmetic, the default first.",
    "about": "What it is, or why it does not run here.",
}


@dataclass(frozen=True)
class Request:
    """One prompt as it was asked of all systems. reference: what the answer should be, when known."""

    task: str
    text: str
    sampling: Sampling
    reference: str = ""


def measure_all(loaded: Mapping[System, LoadedSystem], request: Request) -> Answers:
    """Measure each system's answer, one after another, while this machine measures nothing else.

    All answer the same prompt once before, unmeasured: no engine pays for first
    use of its shapes and memory, and what the click set off elsewhere on the
    machine, such as the browser's drawing, is over before the first is measured.
    Raises BusyError at once, naming who measures, when another process does.
    """
    answers: dict[System, Generation] = {}
    try:
        with measuring(LIVE, "one prompt in the browser"):  # never the prompt: others read the note
            for runner in loaded.values():
                warm_up_for(runner, request.task, request.text, request.sampling)
            with settled_heap():
                for system, runner in loaded.items():
                    (answers[system],) = measure_answers(
                        runner, request.task, [request.text], request.sampling
                    )
    except BusyError as error:
        raise BusyError(_busy()) from error
    return answers


def _busy() -> str:
    """Why there is no answer now, for a visitor who cannot end what is running."""
    run, running = holder(), "is running on this machine"
    if run:
        since = str(run.since)[:16].replace("T", " ")  # to the minute
        running = f"has been running on this machine since {since} UTC (run {run.run_id} of {run.suite})"
    return (
        f"Another measurement {running}; please try again when it has ended, "
        "as two at a time slow each other down."
    )


@dataclass(frozen=True)
class Shown:
    """One system at one moment of a replay."""

    text: str
    elapsed_s: float
    finished: bool


@dataclass(frozen=True)
class Frame:
    """What changed at `at_s` seconds after the start of a replay."""

    at_s: float
    shown: Mapping[System, Shown]


def frames(
    answers: Answers,
    decode: Callable[[System, Sequence[int]], str],
    slowdown: float = 1.0,
    per_second: int = 25,
) -> Iterator[Frame]:
    """Replay all answers from a common start, at their measured pace.

    decode: text of a system's ids, special tokens left out.
    slowdown: 10 shows one measured second in ten. A system that has finished
    is in one frame more, with its whole text, and then in no other. All stand
    empty for LEAD_S before they start.
    """
    prefixes = {system: _prefixes(answer, partial(decode, system)) for system, answer in answers.items()}
    running = dict(answers)
    yield Frame(0.0, {system: Shown("", 0.0, False) for system in answers})
    tick = 0
    while running:
        elapsed_s = tick / per_second / slowdown
        texts = {s: _shown(a, prefixes[s], elapsed_s) for s, a in running.items()}
        yield Frame(LEAD_S + tick / per_second, texts)
        running = {s: a for s, a in running.items() if not texts[s].finished}
        tick += 1


def paced(
    replay: Iterable[Frame],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Frame]:
    """Give the frames of a replay, each at its moment; late ones follow at once."""
    start = clock()
    for frame in replay:
        sleep(max(0.0, start + frame.at_s - clock()))
        yield frame


def whole(answers: Answers) -> Frame:
    """Give the end of a replay: every answer in full."""
    return Frame(0.0, {s: Shown(answer.text, answer.timing.total_s, True) for s, answer in answers.items()})


def _prefixes(answer: Generation, decode: Callable[[Sequence[int]], str]) -> list[str]:
    """Give the text after 0, 1, 2 ... generated ids; an unfinished character is left out."""
    ids = answer.token_ids
    return [decode(ids[:count]).rstrip("\ufffd") for count in range(len(ids) + 1)]


def _shown(answer: Generation, prefixes: Sequence[str], elapsed_s: float) -> Shown:
    timing = answer.timing
    if elapsed_s >= timing.total_s:
        return Shown(answer.text, timing.total_s, True)
    return Shown(prefixes[bisect_right(timing.token_times_s, elapsed_s)], elapsed_s, False)


@cache
def devices() -> tuple[Device, ...]:
    """Tell what engines can run on here: the GPU where its driver is installed."""
    return (CPU, Device("cuda")) if shutil.which("nvidia-smi") else (CPU,)


@cache
def systems() -> tuple[System, ...]:
    """List METHOD, which takes the fastest engine, and METHOD@ENGINE for each engine that is installed."""
    installed = [
        name
        for name, kind in ENGINES.items()
        if not kind.dtypes.keys().isdisjoint(devices()) and all(map(find_spec, kind.packages))
    ]
    named = (
        System(method, name) for name in installed for method in METHODS if method in ENGINES[name].methods
    )
    return (*map(System, METHODS), *named)


def check_systems(chosen: tuple[System, ...]) -> None:
    """Raise InputError when these cannot be asked together."""
    if not chosen:
        raise InputError("No system is chosen; choose at least one.")
    if len(chosen) > MOST:
        raise InputError(f"{len(chosen)} systems are chosen; choose {MOST} at the most.")


def engines_here() -> Table:
    """Every engine and whether it runs here. Imports them all: seconds."""
    rows = []
    for name, kind in ENGINES.items():
        for device, dtypes in kind.dtypes.items():
            reason: str | None = "No GPU was found on this machine."
            if device in devices():
                reason = unavailable_reason(name, Device(device))
            systems_of = ", ".join(kind.methods)
            runs = "no" if reason else "yes"
            rows.append((name, device, runs, systems_of, ", ".join(dtypes), reason or kind.about))
    return Table(ABOUT_ENGINES, rows)
