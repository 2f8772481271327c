"""One function measures answers; whoever times one calls it, so that all are measured alike.

The clock stands outside the engine and times the gaps between its Steps;
tokenizing and detokenizing are phases like all others. Python's collector rests
meanwhile, the engine sets its own threads, and a device that works
asynchronously is waited for. Nothing here imports torch.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence

from hybrid.engines.contract import LoadedSystem
from hybrid.errors import MeasurementError
from hybrid.measuring import collector_off
from hybrid.schema import EncodedPrompt, Generation, Phase, Sampling, Step, Timing
from hybrid.schema.answers import paused

# Ids of a prompt's own answer that are written before it is measured, where one prompt is measured alone.
WARM_UP_TOKENS = 32
WARM_UP_TEXT = "The quick brown fox jumps over the lazy dog."
Clock = Callable[[], float]
# A process that is stopped, or gets no core, is not on the CPU for longer than the slowest step waits for
# memory or another thread: for a second, and for most of that step.
LOST_S = 1.0
LOST_SHARE = 0.5
TRIES = 5  # at an answer that only its median is kept of


def measure_answers(
    loaded: LoadedSystem,
    task: str,
    texts: Sequence[str],
    sampling: Sampling,
    clock: Clock = time.perf_counter,
    cpu_clock: Clock = time.process_time,
) -> tuple[Generation, ...]:
    """Let a system answer B texts at once, and give each answer with raw times in seconds.

    Each gap belongs to the phase that ends it, the bookkeeping in between to the
    next, so that the phases sum to the time from text to text. An answer in which
    the process was stopped or starved is marked as disturbed: on a CPU, which
    works all the time, by its CPU time, and everywhere by a gap between tokens
    that is far longer than the others. Errors of codec and engine pass through.
    Raises MeasurementError when the clock goes backwards, ValueError when the
    steps do not tell of every row a token.
    """
    gc.collect()  # what is left of the answer before, memory of a GPU perhaps
    with collector_off():
        watch = _Watch(loaded, clock, cpu_clock)
        prompts = loaded.codec.encode(task, texts, sampling.truncate)
        watch.note("tokenize")
        steps: list[tuple[float, Step]] = []  # sorted into rows when all are there: it costs time
        for step in loaded.engine.generate(prompts, sampling):
            steps.append((watch.note(step.phase), step))
        rows = _Rows(loaded, steps, len(prompts))
        written = [loaded.codec.decode(ids) for ids in rows.ids]
        watch.note("detokenize")
    return tuple(rows.generations(prompts, written, sampling, watch))


def undisturbed_answers(
    loaded: LoadedSystem,
    task: str,
    texts: Sequence[str],
    sampling: Sampling,
    clock: Clock = time.perf_counter,
) -> tuple[Generation, ...]:
    """Answer as measure_answers() does, and anew where the process was stopped or starved meanwhile.

    For models without weights, of whose answers nothing but times is kept. Raises
    MeasurementError when that happens five times in a row.
    """
    for _ in range(TRIES):
        answers = measure_answers(loaded, task, texts, sampling, clock)
        if not any(answer.timing.disturbed for answer in answers):
            return answers
    raise MeasurementError(
        f"The process was stopped or starved in each of {TRIES} answers of {loaded.system}, so there are no "
        "times of its own; measure when the machine has a core to spare."
    )


def warm_up(
    loaded: LoadedSystem,
    task: str,
    texts: Sequence[str] = (WARM_UP_TEXT,),
    tokens: int = 8,
    enough: int | None = None,
) -> None:
    """Answer once and drop it: the first run of an engine pays for memory and kernels.

    What is paid depends on sizes: give as many texts, and as many tokens, as will
    be measured. enough: ids after which the answer is given up, when there is
    room for all of them; it goes on to the last one when None.
    """
    sampling = Sampling(max_new_tokens=tokens, ignore_eos=True, truncate=True)
    answer_unmeasured(loaded, task, texts, sampling, enough)


def warm_up_for(loaded: LoadedSystem, task: str, text: str, sampling: Sampling) -> None:
    """Warm up for one prompt's answer: with room for all of it, of which few ids are written."""
    warm_up(loaded, task, [text], sampling.max_new_tokens, WARM_UP_TOKENS)


def answer_unmeasured(
    loaded: LoadedSystem, task: str, texts: Sequence[str], sampling: Sampling, enough: int | None = None
) -> None:
    """Answer as measure_answers() would, and drop it, after `enough` ids or all."""
    prompts = loaded.codec.encode(task, texts, sampling.truncate)
    answers = loaded.engine.generate(prompts, sampling)
    steps: list[Step] = []
    ids = 0
    for step in answers:
        steps.append(step)
        ids += max(map(len, step.token_ids), default=0)
        if enough is not None and ids >= enough:
            break
    del answers  # an engine ends its work when nobody reads on
    for row in _Rows(loaded, [(0.0, step) for step in steps], len(prompts)).ids:
        loaded.codec.decode(row)


class _Watch:
    """Times phases from when it is made on; the device has finished before each reading of the clock."""

    def __init__(self, loaded: LoadedSystem, clock: Clock, cpu_clock: Clock) -> None:
        self._clock, self._cpu_clock, self._system = clock, cpu_clock, loaded.system
        self._synchronize = loaded.engine.synchronize
        self.phases: dict[Phase, float] = {}
        self.starved = False
        if self._synchronize is not None:
            self._synchronize()  # what still runs from before is not part of this
        self._cpu_s = cpu_clock()
        self._start = self._last = clock()

    def note(self, phase: Phase) -> float:
        """End a phase; gives the seconds since the start."""
        if self._synchronize is not None:
            self._synchronize()
        now = self._clock()
        if now < self._last:
            raise MeasurementError(
                f"The clock went backwards by {self._last - now:.6g} s while {self._system} was measured, "
                "so its times cannot be trusted; measure again."
            )
        gap_s = now - self._last
        self.phases[phase] = self.phases.get(phase, 0.0) + gap_s
        if self._synchronize is None and gap_s > LOST_S:  # of a GPU, the CPU has nothing to do meanwhile
            lost_s = gap_s - (self._cpu_clock() - self._cpu_s)
            self.starved |= lost_s > max(LOST_S, LOST_SHARE * gap_s)
        if self._synchronize is None:
            self._cpu_s = self._cpu_clock()
        self._last = now
        return now - self._start


class _Rows:
    """The answers in a stream of Steps, each with the seconds from the start to it."""

    def __init__(self, loaded: LoadedSystem, steps: Sequence[tuple[float, Step]], batch: int) -> None:
        widths = {len(step.token_ids) for _, step in steps if step.token_ids}
        if widths != {batch}:
            raise ValueError(
                f"the steps of {loaded.system} tell tokens of {' and '.join(map(str, sorted(widths))) or 0} "
                f"rows for {batch} prompts"
            )
        self.ids: list[list[int]] = [[] for _ in range(batch)]
        self._times: list[list[float]] = [[] for _ in range(batch)]
        for at_s, step in steps:
            for row, new in enumerate(step.token_ids):
                self.ids[row].extend(new)
                self._times[row].extend([at_s] * len(new))
        if not all(self.ids):
            raise ValueError(f"the steps of {loaded.system} hold no token for row {self.ids.index([])}")
        self._loaded, self._batch = loaded, batch
        self._drafted, self._accepted = (
            self._sums([getattr(step, field) for _, step in steps]) for field in ("drafted", "accepted")
        )

    def generations(
        self,
        prompts: Sequence[EncodedPrompt],
        texts: Sequence[str],
        sampling: Sampling,
        watch: _Watch,
    ) -> Iterator[Generation]:
        """Give each row's answer; the rows of a batch share the phases, and what disturbs one of them."""
        disturbed = watch.starved or any(map(paused, self._times))
        stop = () if sampling.ignore_eos else self._loaded.codec.eos_ids
        for row, ids in enumerate(self.ids):
            yield Generation(
                system=self._loaded.system,
                text=texts[row],
                token_ids=tuple(ids),
                prompt_tokens=len(prompts[row].token_ids),
                finish_reason="eos" if ids[-1] in stop else "length",
                timing=Timing(watch.phases, tuple(self._times[row]), disturbed),
                drafted=self._drafted[row],
                accepted=self._accepted[row],
            )

    def _sums(self, counts: Sequence[tuple[int, ...]]) -> list[int]:
        """Sum what the steps tell, for each row; 0 where none does."""
        counted = [by_row for by_row in counts if by_row]
        return [sum(column) for column in zip(*counted, strict=True)] if counted else [0] * self._batch
