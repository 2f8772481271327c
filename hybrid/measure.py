"""The clock outside the engine: it times the gaps between Steps.

The same wrapper serves every system, so they are measured alike. Nothing here
imports torch; a device that works asynchronously is waited for through the
`synchronize` the caller passes, such as torch.cuda.synchronize.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from hybrid.schema import Generation, Phase, Sampling, Step, System, Timing

WARM_UP_TEXT = "The quick brown fox jumps over the lazy dog."


class Engine(Protocol):
    """What can be measured: an answer as a stream of Steps."""

    @property
    def system(self) -> System: ...

    def generate(self, task: str, text: str, sampling: Sampling) -> Iterator[Step]: ...


def timed(
    steps: Iterable[Step],
    system: System,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] | None = None,
) -> Generation:
    """Run `steps` to the end and return what they made, with raw times in seconds.

    Each gap belongs to the phase of the Step that ends it, the bookkeeping in
    between to the next, so that the phases sum to the time from call to last
    Step. The engine's own errors pass through. Raises ValueError when the
    steps end without a token or a finish reason.
    """
    phases: dict[Phase, float] = {}
    ids: list[int] = []
    times: list[float] = []
    text, prompt_tokens, finish_reason = "", 0, None
    start = last = clock()
    for step in steps:
        if synchronize is not None:
            synchronize()
        now = clock()
        phases[step.phase] = phases.get(step.phase, 0.0) + now - last
        last = now
        ids.extend(step.token_ids)
        times.extend([now - start] * len(step.token_ids))
        text, prompt_tokens = step.text or text, step.prompt_tokens or prompt_tokens
        finish_reason = step.finish_reason or finish_reason
    if finish_reason is None or not ids:
        raise ValueError(
            f"the steps of {system} ended with {len(ids)} tokens and finish reason {finish_reason}"
        )
    timing = Timing(phases, tuple(times))
    return Generation(system, text, tuple(ids), prompt_tokens, finish_reason, timing)


def warm_up(engine: Engine, task: str, text: str = WARM_UP_TEXT, tokens: int = 8) -> None:
    """Answer once and drop it: the first run of an engine pays for memory and kernels."""
    for _ in engine.generate(task, text, Sampling(max_new_tokens=tokens, ignore_eos=True, truncate=True)):
        pass
