"""The clock outside the engine: it times the gaps between Steps.

The same wrapper serves every system, so they are measured alike. Nothing here
imports torch; a device that works asynchronously is waited for through the
`synchronize` the caller passes, such as torch.cuda.synchronize.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from hybrid.engines.contract import Engine
from hybrid.errors import MeasurementError
from hybrid.schema import Generation, Phase, Sampling, Step, System, Timing

WARM_UP_TEXT = "The quick brown fox jumps over the lazy dog."


def timed(
    steps: Iterable[Step],
    system: System,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] | None = None,
) -> tuple[Generation, ...]:
    """Run `steps` to the end and return the answer of each row, with raw times in seconds.

    Each gap belongs to the phase of the Step that ends it, the bookkeeping in
    between to the next, so that the phases sum to the time from call to last
    Step. The engine's own errors pass through. Raises MeasurementError when the
    clock goes backwards, ValueError when the steps do not tell of every row its
    prompt's length, a token, a text and a finish reason.
    """
    phases: dict[Phase, float] = {}
    seen: list[tuple[float, Step]] = []  # sorted into rows when all is over: it costs time
    if synchronize is not None:
        synchronize()  # what still runs from before is not part of this
    start = last = clock()
    for step in steps:
        if synchronize is not None:
            synchronize()
        now = clock()
        if now < last:
            raise MeasurementError(
                f"The clock went backwards by {last - now:.6g} s while {system} was measured, "
                "so its times cannot be trusted; measure again."
            )
        phases[step.phase] = phases.get(step.phase, 0.0) + now - last
        last = now
        seen.append((now - start, step))
    return _rows(seen, system, phases)


def _rows(
    seen: Sequence[tuple[float, Step]], system: System, phases: Mapping[Phase, float]
) -> tuple[Generation, ...]:
    """The answers in a stream of Steps; `seen` holds each with the seconds from the start to it."""
    prompt_tokens, texts, finish_reasons = (
        next((told for _, step in reversed(seen) if (told := getattr(step, field))), ())
        for field in ("prompt_tokens", "texts", "finish_reasons")
    )
    batch = len(finish_reasons)
    widths = {len(step.token_ids) for _, step in seen if step.token_ids} or {0}
    if not batch or widths | {len(prompt_tokens), len(texts)} != {batch}:
        raise ValueError(
            f"the steps of {system} tell of {len(prompt_tokens)} prompts, tokens of "
            f"{' and '.join(map(str, sorted(widths)))} rows, {len(texts)} texts and {batch} finish reasons"
        )
    ids: list[list[int]] = [[] for _ in range(batch)]
    times: list[list[float]] = [[] for _ in range(batch)]
    for at_s, step in seen:
        for row, new in enumerate(step.token_ids):
            ids[row].extend(new)
            times[row].extend([at_s] * len(new))
    if not all(ids):
        raise ValueError(f"the steps of {system} hold no token for row {ids.index([])}")
    drafted, accepted = (_sums(seen, field, batch) for field in ("drafted", "accepted"))
    return tuple(
        Generation(
            system, texts[row], tuple(ids[row]), prompt_tokens[row], finish_reasons[row],
            Timing(phases, tuple(times[row])), drafted[row], accepted[row],
        )
        for row in range(batch)
    )  # fmt: skip


def _sums(seen: Sequence[tuple[float, Step]], field: str, batch: int) -> list[int]:
    """What the steps tell in `field`, summed for each row; 0 where none does."""
    told = [counts for _, step in seen if (counts := getattr(step, field))]
    return [sum(column) for column in zip(*told, strict=True)] if told else [0] * batch


def warm_up(engine: Engine, task: str, texts: Sequence[str] = (WARM_UP_TEXT,), tokens: int = 8) -> None:
    """Answer once and drop it: the first run of an engine pays for memory and kernels.

    What is paid depends on sizes: give as many texts, and as many tokens, as will be measured.
    """
    for _ in engine.generate(task, texts, Sampling(max_new_tokens=tokens, ignore_eos=True, truncate=True)):
        pass
