"""One prompt, every system: measured one after another, then replayed side by side.

Nothing here knows a model or a page. `measure_all` asks each engine in turn,
`frames` turns the measured times into what to show when, `paced` waits.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hybrid.charts import SYSTEM_NAMES, milliseconds
from hybrid.errors import BusyError
from hybrid.lock import holder, measuring
from hybrid.measure import Engine, timed, warm_up
from hybrid.schema import Generation, Sampling, System

WARM_UP_TOKENS = 32
LEAD_S = 0.4  # of a replay, for the eye to find the start and the browser to draw the cards
Answers = Mapping[System, Generation]
SAME = 1.05  # a ratio nearer to 1 than this is called "as fast": one run carries no more


@dataclass(frozen=True)
class Request:
    """One prompt as it was asked of all systems."""

    task: str
    text: str
    sampling: Sampling


@dataclass(frozen=True)
class Speedup:
    """How many times as fast one answer came as another; above 1 is faster.

    per_token: ratio of times per output token; None when an answer has one token.
    end_to_end: ratio of total times; the answers' lengths may differ.
    """

    per_token: float | None
    end_to_end: float


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


def measure_all(engines: Sequence[Engine], request: Request) -> Answers:
    """Each engine's measured answer, one after another, while this machine measures nothing else.

    All answer the same prompt once before, unmeasured: no engine pays for first
    use of its shapes and memory, and what the click set off elsewhere on the
    machine, such as the browser's drawing, is over before the first is measured.
    Raises BusyError at once, naming who measures, when another process does.
    """
    tokens = min(WARM_UP_TOKENS, request.sampling.max_new_tokens)
    answers: dict[System, Generation] = {}
    try:
        with measuring("live", "one prompt in the browser"):  # never the prompt: others read the note
            for engine in engines:
                warm_up(engine, request.task, [request.text], tokens)
            for engine in engines:
                stream = engine.generate(request.task, [request.text], request.sampling)
                (answers[engine.system],) = timed(stream, engine.system)
    except BusyError as error:
        raise BusyError(_busy()) from error
    return answers


def _busy() -> str:
    """Why there is no answer now, for a visitor who cannot end what is running."""
    found, running = holder(), "is running on this machine"
    if found:
        since = str(found.since)[:16].replace("T", " ")  # to the minute
        running = f"has been running on this machine since {since} UTC (run {found.run_id} of {found.suite})"
    return (
        f"Another measurement {running}; please try again when it has ended, "
        "as two at a time slow each other down."
    )


def speedup(answer: Generation, baseline: Generation) -> Speedup:
    """How many times as fast `answer` came as `baseline`."""
    own, other = answer.timing, baseline.timing
    per_token = other.tpot_s / own.tpot_s if own.tpot_s and other.tpot_s else None
    return Speedup(per_token, other.total_s / own.total_s)


def verdict(answers: Answers) -> str:
    """One plain sentence on this prompt: the hybrid against the LLM."""
    hybrid, llm = answers["hybrid"], answers["llm"]
    ratio = speedup(hybrid, llm).end_to_end
    times = f"{milliseconds(hybrid.timing.total_s)} against {milliseconds(llm.timing.total_s)}"
    if max(ratio, 1 / ratio) < SAME:
        return f"Hybrid and LLM answered equally fast: {times}."
    return f"Hybrid answered {_times(ratio)} {'sooner' if ratio > 1 else 'later'} than the LLM: {times}."


def faster(ratio: float | None) -> str | None:
    """A speed-up as people say it: `2.9× faster`; None when there is none."""
    if ratio is None:
        return None
    if max(ratio, 1 / ratio) < SAME:
        return "as fast"
    return f"{_times(ratio)} {'faster' if ratio > 1 else 'slower'}"


def _times(ratio: float) -> str:
    factor = max(ratio, 1 / ratio)
    return f"{factor:.1f}×" if factor < 9.95 else f"{factor:.0f}×"


def remarks(answers: Answers) -> list[str]:
    """What a reader must know before comparing these answers, in sentences."""
    cut = [SYSTEM_NAMES[s] for s, made in answers.items() if made.finish_reason == "length"]
    silent = [SYSTEM_NAMES[s] for s, made in answers.items() if not made.text.strip()]
    said = [f"Stopped at the limit of new tokens, before the answer's end: {', '.join(cut)}."] if cut else []
    return said + ([f"Answered with no text: {', '.join(silent)}."] if silent else [])


def frames(
    answers: Answers,
    decode: Callable[[Sequence[int]], str],
    slowdown: float = 1.0,
    per_second: int = 25,
) -> Iterator[Frame]:
    """A replay of all answers from a common start, at their measured pace.

    decode: text of a sequence of ids, special tokens left out.
    slowdown: 10 shows one measured second in ten. A system that has finished
    is in one frame more, with its whole text, and then in no other. All stand
    empty for LEAD_S before they start.
    """
    prefixes = {system: _prefixes(answer, decode) for system, answer in answers.items()}
    running = dict(answers)
    yield Frame(0.0, {system: Shown("", 0.0, False) for system in answers})
    tick = 0
    while running:
        elapsed_s = tick / per_second / slowdown
        shown = {s: _shown(a, prefixes[s], elapsed_s) for s, a in running.items()}
        yield Frame(LEAD_S + tick / per_second, shown)
        running = {s: a for s, a in running.items() if not shown[s].finished}
        tick += 1


def paced(
    replay: Iterable[Frame],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Frame]:
    """The frames of a replay, each at its moment; late ones follow at once."""
    start = clock()
    for frame in replay:
        sleep(max(0.0, start + frame.at_s - clock()))
        yield frame


def whole(answers: Answers) -> Frame:
    """The end of a replay: every answer in full."""
    return Frame(0.0, {s: Shown(made.text, made.timing.total_s, True) for s, made in answers.items()})


def _prefixes(answer: Generation, decode: Callable[[Sequence[int]], str]) -> list[str]:
    """The text after 0, 1, 2 ... generated ids; an unfinished character is left out."""
    ids = answer.token_ids
    return [decode(ids[:count]).rstrip("\ufffd") for count in range(len(ids) + 1)]


def _shown(answer: Generation, prefixes: Sequence[str], elapsed_s: float) -> Shown:
    timing = answer.timing
    if elapsed_s >= timing.total_s:
        return Shown(answer.text, timing.total_s, True)
    return Shown(prefixes[bisect_right(timing.token_times_s, elapsed_s)], elapsed_s, False)
