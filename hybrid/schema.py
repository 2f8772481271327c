"""The nouns of the product: frozen dataclasses, standard library only.

The flow is `Example -> Step* -> Generation(text, Timing) -> Record -> Run`: an
engine yields Steps, the clock outside turns them into Generations, a benchmark
turns those into Records, and a Run says under which conditions they were made.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Model = Literal["llm", "slm", "hybrid"]
MODELS: tuple[Model, ...] = ("llm", "slm", "hybrid")

# The ways to answer with a pair: by one of its models, or by the LLM, losslessly sped up by drafts. By
# method, the models that it needs: the LLM verifies, the hybrid, the SLM or a look into the prompt drafts.
METHODS: Mapping[str, tuple[Model, ...]] = {
    "llm": ("llm",),
    "slm": ("slm",),
    "hybrid": ("hybrid",),
    "lossless": ("llm", "hybrid"),
    "lossless-slm": ("llm", "slm"),
    "lossless-lookup": ("llm",),
}

# What a run measures: METHOD, or METHOD@ENGINE for another engine than the plan's.
System = str
SYSTEMS: tuple[System, ...] = MODELS

Phase = Literal["tokenize", "encode", "project", "prefill", "draft", "verify", "decode", "detokenize"]
PHASES: tuple[Phase, ...] = (
    "tokenize",
    "encode",
    "project",
    "prefill",
    "draft",
    "verify",
    "decode",
    "detokenize",
)

FinishReason = Literal["eos", "length"]


def method_of(system: System) -> str:
    """The METHOD in a system's name. Raises ValueError when there is no such method."""
    method = system.partition("@")[0]
    if method not in METHODS or system.endswith("@"):
        raise ValueError(f"system is {system!r}, not one of {', '.join(METHODS)}, or METHOD@ENGINE")
    return method


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
    """One phase boundary reached by an engine that answers B prompts at once; the clock stands outside.

    phase: the phase that has just ended.
    token_ids: for each of the B rows, the ids generated in this phase (prefill
        yields each row's first one); empty for a row that has finished.
    prompt_tokens: B lengths, set by tokenize.
    texts, finish_reasons: B each, set by detokenize.
    drafted, accepted: ids that a draft proposed and the LLM agreed with, B each, set by verify.
    """

    phase: Phase
    token_ids: tuple[tuple[int, ...], ...] = ()
    prompt_tokens: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    finish_reasons: tuple[FinishReason, ...] = ()
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Timing:
    """Raw times of one generation, in seconds.

    phases: total time per phase; their sum is `total_s`. The rows of a batch
        share them: each waits for the whole batch.
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
    """One answer of one system, with its raw times. token_ids include the end-of-sequence id.

    drafted, accepted: ids that a draft proposed, and how many of them the LLM
    agreed with; 0 where nothing is drafted or nobody counts.
    """

    system: System
    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: FinishReason
    timing: Timing
    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True)
class Example:
    """One text and what is known to answer it.

    id: unique in its suite. domain: the part of the suite it belongs to.
    references: at least one.
    """

    id: str
    domain: str
    source: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """Examples of one task. name: what loads it; licence: of its texts, as their source states it."""

    name: str
    task: str
    licence: str
    examples: tuple[Example, ...]

    @property
    def content_hash(self) -> str:
        """SHA-256 over task and examples in order: the same hash, the same texts."""
        rows = [[e.id, e.domain, e.source, *e.references] for e in self.examples]
        return hashlib.sha256(json.dumps([self.task, rows], ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Score:
    """One corpus-level score. value: in the metric's own unit; signature: how it was computed."""

    metric: str
    value: float
    n: int
    signature: str


@dataclass(frozen=True)
class Plan:
    """What a benchmark is asked to do: with the same weights, all that a rerun needs.

    suite, suite_hash: the name that loads the suite, and its content hash.
    seed: shuffles the suite; `limit` then takes the first of it, so that a
        smaller run is a part of a larger one. None takes all.
    engine: of the systems that name none. engine_options: its settings, by name.
    repeats: how often every example is answered by every system.
    batch_size: prompts answered at once.
    device, dtype: where the engine runs and in which precision; other engines
        run on the same device, in their own.
    threads: of the CPU.
    """

    suite: str
    suite_hash: str
    task: str
    pair: str
    systems: tuple[System, ...] = SYSTEMS
    engine: str = "torch"
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    batch_size: int = 1
    repeats: int = 1
    limit: int | None = None
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    engine_options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("threads", "batch_size", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}; it must be at least 1")
        if not self.systems or len(set(self.systems)) != len(self.systems):
            raise ValueError(f"systems are {', '.join(self.systems) or 'none'}; name each one once")
        for system in self.systems:
            method_of(system)

    def engine_of(self, system: System) -> str:
        """The name of the engine that `system` is measured in."""
        return system.partition("@")[2] or self.engine


@dataclass(frozen=True)
class Environment:
    """Where a run was made: what must agree before absolute times are compared.

    code: commit of the product, with "+changes" when files differ from it; empty outside a clone.
    weights_sha256: of the pair's manifest, which holds the hash of every file.
    packages: versions of what the numbers depend on.
    """

    product: str
    code: str
    weights_sha256: str
    python: str
    system: str
    cpu: str
    cpu_count: int
    memory_bytes: int
    device_name: str
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Ran:
    """How one system was run: what `--engine` came to, and what each answer costs at the least.

    engine, device, dtype, options: of its engine.
    decode_bytes: of weights, read once for each decoded token of a batch.
    encode_flops, attention_flops: floating point operations on a prompt, for each
        of its tokens, and for each pair of them.
    All from the models' shapes; 0 where they are not known.
    """

    engine: str
    device: str
    dtype: str
    options: Mapping[str, str] = field(default_factory=dict)
    decode_bytes: int = 0
    encode_flops: int = 0
    attention_flops: int = 0


@dataclass(frozen=True)
class Memory:
    """Peak memory of one system, in bytes, from a process of its own.

    resident: of the process, libraries included. before_model: the same before
    the model was loaded. device: peak of the GPU's allocator; 0 on a CPU.
    """

    resident: int
    before_model: int
    device: int = 0


@dataclass(frozen=True)
class Record:
    """One measured answer of one system to one example.

    repeat: 0 to plan.repeats - 1. batch: index of the batch within the repeat.
    position: the order in which batches were measured, over the whole run.
    started_at: UTC, ISO 8601. statistics: per metric, what its corpus score is
    made of; they are summed over examples.
    """

    example_id: str
    repeat: int
    batch: int
    position: int
    started_at: str
    generation: Generation
    statistics: Mapping[str, tuple[float, ...]]

    @property
    def system(self) -> System:
        return self.generation.system


@dataclass(frozen=True)
class Resumption:
    """A run went on under other conditions after its first `records_before` records."""

    records_before: int
    environment: Environment


@dataclass(frozen=True)
class Run:
    """One stored benchmark: its plan, its conditions, and how far it came.

    planned: records when complete. finished_at: None until then. ISO 8601, UTC.
    licence: of the suite's texts. signatures: per metric, how it is computed.
    max_prompt_tokens: longest prompt that the pair reads; None when it was not recorded.
    resumptions: empty when all was measured under `environment`.
    ran: by system; empty in runs of before it was recorded.
    memory_bandwidth: bytes per second that the device reads from its memory,
        measured just before the run; None when it was not.
    """

    run_id: str
    plan: Plan
    environment: Environment
    licence: str
    signatures: Mapping[str, str]
    planned: int
    created_at: str
    finished_at: str | None = None
    memory: Mapping[System, Memory] = field(default_factory=dict)
    max_prompt_tokens: int | None = None
    resumptions: tuple[Resumption, ...] = ()
    ran: Mapping[System, Ran] = field(default_factory=dict)
    memory_bandwidth: float | None = None

    def ran_as(self, system: System) -> Ran:
        """How `system` was run; by the plan where it was not recorded."""
        plan = self.plan
        return self.ran.get(system) or Ran(plan.engine_of(system), plan.device, plan.dtype)
