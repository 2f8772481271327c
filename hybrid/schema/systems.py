"""What can answer and where: methods, systems, devices, hardware, and the phases that an answer consists of.

Two machines that bear one marketing name may be of other generations: Hardware tells them apart.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Literal, Self

Model = Literal["llm", "slm", "hybrid"]
MODELS: tuple[Model, ...] = ("llm", "slm", "hybrid")
Drafter = Literal["hybrid", "slm", "lookup"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to answer with a pair.

    models: of the pair that it runs. The last one writes; with a drafter the first
    one, the LLM, verifies.
    drafter: what proposes ids that the LLM verifies, a model or a look into the
    prompt; None where each id is decoded by itself.
    """

    name: str
    label: str
    models: tuple[Model, ...]
    drafter: Drafter | None = None

    @property
    def lossless(self) -> bool:
        """Tell whether the LLM verifies each id; it answers one prompt at a time. See LOSSLESS."""
        return self.drafter is not None

    @property
    def reader(self) -> Literal["llm", "slm"]:
        """Name the model whose tokenizer makes the prompt's ids."""
        return "slm" if self.models == ("slm",) else "llm"

    @property
    def writer(self) -> Literal["llm", "slm"]:
        """Name the model whose tokenizer the answer's ids are of."""
        return "llm" if self.lossless or self.models == ("llm",) else "slm"


# What people must know of it. On the bundled pair 0 of 1,000 answers differ in float32, and 22 of 270 in
# bfloat16, where a pass over several positions rounds otherwise than one over each.
LOSSLESS = "Lossless means the LLM's own answers: all of them in float32; in 16 bits rounding changes some."

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(name="llm", label="LLM alone", models=("llm",)),
        Method(name="slm", label="SLM alone", models=("slm",)),
        Method(name="hybrid", label="Hybrid", models=("hybrid",)),
        Method(name="lossless", label="Lossless (hybrid drafts)", models=("llm", "hybrid"), drafter="hybrid"),
        Method(name="lossless-slm", label="Lossless (SLM drafts)", models=("llm", "slm"), drafter="slm"),
        Method(name="lossless-lookup", label="Lossless (prompt lookup)", models=("llm",), drafter="lookup"),
    )
}

# What answers without a model, and so in no engine: from the source. See hybrid.compare.trivial.
TRIVIAL: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(name="lead-1", label="First sentence", models=()),
        Method(name="lead-20-words", label="First 20 words", models=()),
        Method(name="longest-sentence", label="Longest sentence", models=()),
        Method(name="copy", label="Whole text", models=()),
    )
}
LEADS = ("lead-1", "lead-20-words")  # those that summaries are compared with unless told otherwise


class System(str):
    """What a run measures: a method, in the plan's engine or in one of its own; or what needs no model.

    A value that is its own text, METHOD, METHOD@ENGINE or one of TRIVIAL, as files, tables and
    addresses hold it; nothing but `parse` takes that text apart.
    Raises ValueError where there is no such method.
    """

    __slots__ = ("engine", "method")

    method: str  # a name in METHODS, or in TRIVIAL
    engine: str | None

    def __new__(cls, method: str, engine: str | None = None) -> Self:
        if not (method in METHODS and engine != "") and not (method in TRIVIAL and engine is None):
            text = method if engine is None else f"{method}@{engine}"
            raise ValueError(f"system is {text!r}, not one of {', '.join(METHODS)}, or METHOD@ENGINE")
        system = super().__new__(cls, method if engine is None else f"{method}@{engine}")
        system.method, system.engine = method, engine
        return system

    def __getnewargs__(self) -> tuple[str, str | None]:  # type: ignore[override]
        return self.method, self.engine

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `llm` or `llm@onnx`. Raises ValueError where there is no such method."""
        method, at, engine = text.partition("@")
        return cls(method, engine if at else None)

    @property
    def trivial(self) -> bool:
        """Tell whether it answers without a model."""
        return self.method in TRIVIAL

    @property
    def label(self) -> str:
        """`Hybrid`, or with an engine of its own `LLM alone, ctranslate2`; plain text, not markup."""
        label = (TRIVIAL if self.trivial else METHODS)[self.method].label
        return label if self.engine is None else f"{label}, {self.engine}"


SYSTEMS: tuple[System, ...] = tuple(map(System, MODELS))
BASELINE = System("llm")  # what speed-ups and quality differences are measured against


class Device(str):
    """Where an engine runs, such as cpu, cuda or cuda:1; a value that is its own text.

    Raises ValueError for another kind, and for an ordinal of the CPU.
    """

    __slots__ = ("kind", "ordinal")

    kind: Literal["cpu", "cuda"]
    ordinal: int | None  # which of several GPUs; None takes the current one

    def __new__(cls, kind: str, ordinal: int | None = None) -> Self:
        if kind not in ("cpu", "cuda") or (ordinal is not None and (kind == "cpu" or ordinal < 0)):
            text = kind if ordinal is None else f"{kind}:{ordinal}"
            raise ValueError(f"device is {text!r}, not cpu, cuda or cuda:N")
        device = super().__new__(cls, kind if ordinal is None else f"{kind}:{ordinal}")
        device.kind, device.ordinal = kind, ordinal  # type: ignore[assignment]
        return device

    def __getnewargs__(self) -> tuple[str, int | None]:  # type: ignore[override]
        return self.kind, self.ordinal

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `cpu`, `cuda` or `cuda:1`. Raises ValueError for anything else."""
        kind, colon, ordinal = text.partition(":")
        if colon and not (ordinal.isascii() and ordinal.isdecimal()):
            raise ValueError(f"device is {text!r}, not cpu, cuda or cuda:N")
        return cls(kind, int(ordinal) if colon else None)


CPU = Device("cpu")

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


@dataclass(frozen=True)
class Gpu:
    """One GPU. capability: CUDA's compute capability, such as 9.0. multiprocessors: SMs."""

    name: str
    capability: str
    memory_bytes: int
    multiprocessors: int


@dataclass(frozen=True)
class Hardware:
    """A machine by all that speed and kernels depend on; no vendor where nothing is known of it.

    vendor, family, model, stepping: of the CPU, as it numbers itself.
    instructions: sets that kernels choose between, such as avx512_vnni.
    caches: bytes that one of each holds, by name, such as L1d and L3.
    cores: physical ones. gpu: what a run used of them; None on a CPU.
    """

    vendor: str = ""
    family: str = ""
    model: str = ""
    stepping: str = ""
    instructions: tuple[str, ...] = ()
    caches: Mapping[str, int] = field(default_factory=dict)
    cores: int = 0
    gpu: Gpu | None = None

    @property
    def known(self) -> bool:
        """Tell whether it can be told from another; runs of before it was recorded cannot."""
        return bool(self.vendor)

    @property
    def fingerprint(self) -> str:
        """Give 6 hexadecimal digits of all fields; empty when it is not known."""
        text = json.dumps(asdict(self), sort_keys=True)
        return sha256(text.encode()).hexdigest()[:6] if self.known else ""
