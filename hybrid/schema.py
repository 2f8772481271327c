"""The nouns of the product: frozen dataclasses, standard library only.

The flow is `prompt -> Step* -> Generation(text, Timing)`: an engine yields
Steps, the clock outside turns them into one Generation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

System = Literal["llm", "slm", "hybrid"]
SYSTEMS: tuple[System, ...] = ("llm", "slm", "hybrid")

Phase = Literal["tokenize", "encode", "project", "prefill", "decode", "detokenize"]
PHASES: tuple[Phase, ...] = ("tokenize", "encode", "project", "prefill", "decode", "detokenize")

FinishReason = Literal["eos", "length"]


@dataclass(frozen=True)
class Task:
    """What is asked of a model, and the T5-style prefix that asks for it."""

    name: str
    label: str
    prefix: str
    source_language: str
    target_language: str


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("translate-en-de", "Translate English to German", "translate English to German: ", "en", "de"),
        Task("summarize", "Summarize", "summarize: ", "en", "en"),
    )
}


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen and when to stop. Engines decode greedily.

    max_new_tokens: upper bound on generated ids, the end-of-sequence id included.
    ignore_eos: decode exactly max_new_tokens, for fixed-length timing.
    truncate: cut a prompt that is too long instead of raising PromptTooLong.
    """

    max_new_tokens: int = 128
    ignore_eos: bool = False
    truncate: bool = False

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")


@dataclass(frozen=True)
class Step:
    """One phase boundary reached by an engine; the clock stands outside.

    phase: the phase that has just ended.
    token_ids: ids generated in this phase (prefill yields the first one).
    text, prompt_tokens, finish_reason: set by the phase that knows them
    (tokenize: prompt_tokens; detokenize: text and finish_reason).
    """

    phase: Phase
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int = 0
    text: str = ""
    finish_reason: FinishReason | None = None


@dataclass(frozen=True)
class Timing:
    """Raw times of one generation, in seconds.

    phases: total time per phase; their sum is `total_s`.
    token_times_s: for each generated id, seconds from the start of the request
    to the moment it was known.
    """

    phases: Mapping[Phase, float]
    token_times_s: tuple[float, ...]

    @property
    def total_s(self) -> float:
        """End-to-end latency: tokenize to detokenize."""
        return sum(self.phases.values())

    @property
    def ttft_s(self) -> float:
        """Time to first token, from the start of the request."""
        return self.token_times_s[0]

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first; None when there was only one."""
        n = len(self.token_times_s)
        return (self.token_times_s[-1] - self.token_times_s[0]) / (n - 1) if n > 1 else None


@dataclass(frozen=True)
class Generation:
    """One answer of one system, with its raw times."""

    system: System
    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: FinishReason
    timing: Timing
