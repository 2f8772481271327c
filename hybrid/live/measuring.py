"""Every system's answer to one prompt, one after another, while nothing else is measured."""

from collections.abc import Mapping
from dataclasses import dataclass

from hybrid.engines.contract import LoadedSystem
from hybrid.errors import BusyError
from hybrid.measuring.answers import measure_answers, warm_up
from hybrid.measuring.collector import settled_heap
from hybrid.measuring.lock import LIVE, holder, measuring
from hybrid.schema import Generation, Sampling, System

WARM_UP_TOKENS = 32
Answers = Mapping[System, Generation]


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
    tokens = min(WARM_UP_TOKENS, request.sampling.max_new_tokens)
    answers: dict[System, Generation] = {}
    try:
        with measuring(LIVE, "one prompt in the browser"):  # never the prompt: others read the note
            for one in loaded.values():
                warm_up(one, request.task, [request.text], tokens)
            with settled_heap():
                for system, one in loaded.items():
                    (answers[system],) = measure_answers(one, request.task, [request.text], request.sampling)
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
