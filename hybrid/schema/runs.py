"""What a benchmark is asked, where it is made, and what is stored of it."""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from hybrid.schema.answers import Generation, Sampling
from hybrid.schema.systems import CPU, SYSTEMS, TRIVIAL, Device, Hardware, System
from hybrid.schema.texts import Task, task_named

MOST_BLOCKS = 100  # of a run


def without_folders(suite: str) -> str:
    """Write a suite's name as it is stored and shown: of `file:PATH` only `file:NAME`.

    The folders of a machine, whatever its system, are nobody's business.
    """
    prefix, colon, address = suite.partition(":")
    return "file:" + re.split(r"[/\\]", address)[-1] if colon and prefix == "file" else suite


# The content of bundled suites before their names had versions: what plans and runs of then mean.
_FIRST_VERSIONS: Mapping[str, str] = {
    "82590d3a74a85addfa776636a0bf9f8d877c02ce8421caaa3cf7516f538b08e5": "everyday-en-de",
    "fce80a38e1f90fd82d30fa8049bc57213422aa5d3634e3d1b2f84a1fb66208a9": "briefs-en",
    "398cd63ac28845c3db40eb10742ab89f817029036da21a53ec9807115118dabd": "everyday-100-en-de",
}


def with_version(suite: str, content_hash: str) -> str:
    """Write a bundled suite's name with its version where it had none yet, known by its content; others stay.

    Its plain name now loads the newest version.
    """
    return f"{suite}@1" if _FIRST_VERSIONS.get(content_hash) == suite else suite


LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
LABELS = "of letters, digits, ., - and _, 40 at the most"
UNNAMED = "private:"  # begins the name of a suite that a private run does not name


@dataclass(frozen=True)
class Plan:
    """What a benchmark is asked to do: with the same weights, all that a rerun needs.

    suite: the name that loads it; a file's is stored without its folders, a bundled one's with its version.
    suite_hash: of its content; a plan with one measures these very texts or nothing.
    task: for suites that do not state theirs. pair: its name in the zoo.
    engine: of the systems that name none. engine_options: its settings, by name.
    device, dtype: where the engine runs and in which precision; other engines
        run on the same device, in their own.
    threads: of the CPU.
    batch_size: prompts answered at once.
    repeats: how often every example is answered by every system.
    blocks: fresh processes that the answers are dealt to, one after another: what
        changes from process to process is then part of the intervals.
    seed: shuffles the suite; `limit` then takes the first of it, so that a
        smaller run is a part of a larger one. None takes all.
    columns: of file: and hf: suites, which column holds the source, the reference ...
    memory: measure each system's peak memory too, in a pass of its own.
    private: store no source, reference or answer, nor what names them. The plan of such a run,
        once stored, has neither the file's name nor `columns`, and its suite_hash is a keyed one.
    label: what a private run calls a suite whose name it withholds; a part of the hash where it is empty.

    An empty suite_hash, task, pair or dtype, and the engine `auto`, are settled
    when the plan is run: the plan of a stored run names them.
    Raises ValueError for numbers below 1, too many blocks, systems that come twice and what is no label.
    """

    suite: str
    _: KW_ONLY
    suite_hash: str = ""
    task: str = ""
    pair: str = ""
    systems: tuple[System, ...] = SYSTEMS
    engine: str = "auto"
    device: Device = CPU
    dtype: str = ""
    threads: int = 1
    batch_size: int = 1
    repeats: int = 1
    blocks: int = 3
    limit: int | None = None
    seed: int = 0
    sampling: Sampling = field(default_factory=lambda: Sampling(truncate=True))
    engine_options: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    memory: bool = True
    private: bool = False
    label: str = ""

    def __post_init__(self) -> None:
        for name in ("threads", "batch_size", "repeats", "blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.blocks > MOST_BLOCKS:
            raise ValueError(f"blocks is {self.blocks}; it must be at most {MOST_BLOCKS}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}; it must be at least 1")
        if self.label and not (self.private and LABEL.fullmatch(self.label)):
            raise ValueError(f"label is {self.label[:80]!r}; it must be {LABELS}, and of a private plan")
        if not self.systems or len(set(self.systems)) != len(self.systems):
            raise ValueError(f"systems are {', '.join(self.systems) or 'none'}; name each one once")

    def engine_of(self, system: System) -> str:
        """Name the engine that `system` is measured in."""
        return system.engine or self.engine


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a run was made: what must agree before absolute times are compared.

    code: commit of the product, with "+changes" when files differ from it; empty outside a clone.
    weights_sha256: of the pair's manifest, which holds the hash of every file.
    packages: versions of what the numbers depend on.
    hardware: what tells this machine from others of its name; not known of old runs.
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
    hardware: Hardware = field(default_factory=Hardware)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How one system was run: what `--engine` came to, and what each answer costs at the least.

    engine, device, dtype, options: of its engine.
    decode_bytes: of weights, read once for each decoded token of a batch.
    encode_flops, attention_flops: floating point operations on a prompt, for each
        of its tokens, and for each pair of them.
    All from the models' shapes; 0 where they are not known.
    """

    engine: str
    device: Device
    dtype: str
    options: Mapping[str, str] = field(default_factory=dict)
    decode_bytes: int = 0
    encode_flops: int = 0
    attention_flops: int = 0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Peak memory of one system, in bytes, from a process of its own.

    resident: of the process, libraries included. before_model: the same before
    the model was loaded. device: peak of the GPU's allocator; 0 on a CPU.
    """

    resident: int
    before_model: int
    device: int = 0


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measured answer of one system to one example.

    repeat: 0 to plan.repeats - 1. batch: index of the batch within the repeat.
    position: the order in which batches were measured, over the whole run.
    started_at: UTC, ISO 8601. statistics: per metric, what its corpus score is
    made of; they are summed over examples. block: of the process that measured
    it, 0 to plan.blocks - 1.
    """

    example_id: str
    repeat: int
    batch: int
    position: int
    started_at: str
    generation: Generation
    statistics: Mapping[str, tuple[float, ...]]
    block: int = 0

    @property
    def system(self) -> System:
        return self.generation.system


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """A run went on under other conditions after its first `records_before` records."""

    records_before: int
    environment: Environment


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What the machine could do at one moment, before, between or after the blocks of a run.

    taken_at: UTC, ISO 8601. records_before: of the run, stored by then.
    bandwidth: bytes per second that the device reads from its memory, the best of several tries.
    product_s: seconds of one fixed product of float32 matrices on one thread, the best of several.
    cpu_share: CPU time over wall time of all these products; below 1 others had the core meanwhile.
    others_share: of all the machine's CPU time since the probe before (of the first
        one, while it was taken), what other processes used. steal_share: what the
        hypervisor gave to other machines.
    load: processes that ran or waited, mean of the last minute. frequency_mhz: of the CPU.
    gpu_clock_mhz, gpu_memory_clock_mhz, gpu_use: of a GPU; gpu_use from 0 to 1.
    gpu_others: other processes on it.
    What cannot be read here is None.
    """

    taken_at: str
    records_before: int = 0
    bandwidth: float | None = None
    product_s: float | None = None
    cpu_share: float | None = None
    others_share: float | None = None
    steal_share: float | None = None
    load: float | None = None
    frequency_mhz: float | None = None
    gpu_clock_mhz: float | None = None
    gpu_memory_clock_mhz: float | None = None
    gpu_use: float | None = None
    gpu_others: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One stored benchmark: its plan, its conditions, and how far it came.

    planned: records when complete. finished_at: None until then. ISO 8601, UTC.
    licence: of the suite's texts. signatures: per metric, how it is computed.
    max_prompt_tokens: longest prompt that the pair reads; None when it was not recorded.
    resumptions: empty when all was measured under `environment`.
    ran: by system; empty in runs of before it was recorded.
    memory_bandwidth: bytes per second that the device reads from its memory,
        measured just before the run; None when it was not.
    probes: of the machine, before, between and after the blocks; empty in runs of
        before there were any.
    two_tokenizers: whether the LLM and the SLM write with tokenizers of their own.
    own_task: what the pair has under the name plan.task; None in runs of before it was stored.
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
    probes: tuple[Probe, ...] = ()
    two_tokenizers: bool = False
    own_task: Task | None = None

    @property
    def task(self) -> Task:
        """What was asked: as the pair had it, or what the name says."""
        return self.own_task or task_named(self.plan.task)

    def ran_as(self, system: System) -> Ran:
        """How `system` was run; by the plan where it was not recorded."""
        plan = self.plan
        if system in TRIVIAL:
            return Ran(engine="none", device=plan.device, dtype="none")
        return self.ran.get(system) or Ran(
            engine=plan.engine_of(system), device=plan.device, dtype=plan.dtype
        )
