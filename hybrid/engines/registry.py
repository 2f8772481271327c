"""Which engines there are, and how those that a plan asks for are made.

An engine is a module with two functions: `missing(device)` says why it cannot
run here, `make(order)` gives an engine for each method that is asked for. What
else must be known before it is imported, with all that stands behind it, is data here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from hybrid.engines.config import Order, Progress
from hybrid.engines.contract import Engine
from hybrid.errors import EngineError
from hybrid.schema import METHODS, MODELS, Device, Plan, System

if TYPE_CHECKING:
    from hybrid.models.source import Source

AUTO = "auto"


@dataclass(frozen=True)
class Option:
    """A setting of an engine. choices: the first one is the default."""

    choices: tuple[str, ...]
    about: str


@dataclass(frozen=True)
class Kind:
    """One engine by what can be known without importing it.

    about: one line. module: where it is. methods: of METHODS.
    dtypes: by kind of device, cpu or cuda; the first one is the default.
    packages: that it stands on, besides torch and transformers.
    """

    about: str
    module: str
    dtypes: Mapping[str, tuple[str, ...]]
    methods: tuple[str, ...] = tuple(METHODS)
    options: Mapping[str, Option] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


_KERNELS = Option(("auto", "triton-pdl", "triton", "torch"), "What computes decode steps.")
_INT8_ENCODER = Option(("on", "off"), "Read the prompt with 8-bit matrices, too.")

ENGINES: Mapping[str, Kind] = {
    "torch": Kind(
        "The reference: an eager PyTorch loop over preallocated caches.",
        "hybrid.engines.torch.engine",
        {"cpu": ("float32", "bfloat16"), "cuda": ("bfloat16", "float32")},
    ),
    "onnx": Kind(
        "ONNX Runtime on the CPU in 8 bits, built once from the pair's weights.",
        "hybrid.engines.onnx.engine",
        {"cpu": ("int8",)},
        MODELS,  # one pass over several drafts rounds its 8 bits otherwise than one over each
        {"int8_encoder": _INT8_ENCODER},
        packages=("onnxruntime",),
    ),
    "onnx-fp32": Kind(
        "The same graphs in float32: token for token as the reference.",
        "hybrid.engines.onnx.engine",
        {"cpu": ("float32",)},
        packages=("onnxruntime",),
    ),
    "cuda-graph": Kind(
        "Encoder and decode step captured in CUDA graphs over static caches.",
        "hybrid.engines.cuda.engine",
        {"cuda": ("bfloat16", "float16", "float32")},
        MODELS,
        {"kernels": _KERNELS},
    ),
    "transformers": Kind(
        "Peer: transformers' own generate(), assisted generation included.",
        "hybrid.engines.transformers_engine",
        {"cpu": ("float32", "bfloat16"), "cuda": ("bfloat16", "float16", "float32")},
    ),
    "transformers-int8": Kind(
        "Peer: generate() after dynamic int8 quantization, the compression baseline.",
        "hybrid.engines.transformers_engine",
        {"cpu": ("int8",)},
        MODELS,
    ),
    "ctranslate2": Kind(
        "Peer: CTranslate2 in int8; takes tokens only, so not the hybrid.",
        "hybrid.engines.ctranslate2_engine",
        {"cpu": ("int8",)},
        ("llm", "slm"),
        packages=("ctranslate2",),
    ),
    "ctranslate2-fp32": Kind(
        "Peer: CTranslate2 in float32.",
        "hybrid.engines.ctranslate2_engine",
        {"cpu": ("float32",)},
        ("llm", "slm"),
        packages=("ctranslate2",),
    ),
}

# What --engine auto tries, in this order, by kind of device: transformers runs what the others lack.
BEST: Mapping[str, tuple[str, ...]] = {
    "cpu": ("onnx", "onnx-fp32", "torch", "transformers"),
    "cuda": ("cuda-graph", "torch", "transformers"),
}
DTYPES = tuple(dict.fromkeys(d for kind in ENGINES.values() for names in kind.dtypes.values() for d in names))
OPTIONS: Mapping[str, Option] = {name: o for kind in ENGINES.values() for name, o in kind.options.items()}


class _Module(Protocol):
    """What every engine's module has."""

    def missing(self, device: Device) -> str | None: ...

    def make(self, order: Order) -> dict[str, Engine]: ...


def load_engines(
    plan: Plan,
    systems: Collection[System] | None = None,
    progress: Progress = lambda _: None,
    say: Progress = lambda _: None,
    source: "Source | None" = None,
) -> tuple[Plan, dict[System, Engine]]:
    """An engine for each of `systems`, or of the plan's, and the plan with what its engine came to.

    No more models are read than these need. An engine `auto` and an empty dtype
    are replaced. progress: called with a short sentence before what takes a
    while; say: with one for each faster engine that does not run here. source:
    the pair, when it is not the plan's in the zoo. Raises EngineError when an
    engine cannot run here, PairError when the pair is unknown or damaged.
    """
    from hybrid.models.source import ZooSource

    wanted = systems or plan.systems
    groups: dict[str, list[System]] = {}
    for system in wanted:
        groups.setdefault(plan.engine_of(system), []).append(system)
    for name in groups:
        if name != AUTO:
            kind_of(name)
    pair = source or ZooSource(plan.pair, progress=progress)
    found: dict[System, Engine] = {}
    for name, group in groups.items():
        own = name == plan.engine
        order = Order(
            source=pair,
            methods=tuple(system.method for system in group),
            device=plan.device,
            dtype=plan.dtype if own else "",
            threads=plan.threads,
            options=plan.engine_options if own else _of(name, plan.engine_options),
            progress=progress,
        )
        chosen, made = best_engines(order, say) if name == AUTO else (name, make_engines(name, order))
        found |= {system: made[system.method] for system in group}
        if own:
            dtype = plan.dtype or default_dtype(chosen, plan.device)
            plan = replace(plan, engine=chosen, dtype=dtype)
    return plan, {system: found[system] for system in wanted}


def make_engines(name: str, order: Order) -> dict[str, Engine]:
    """The engine `name` for each method of `order`; an empty dtype becomes the engine's default.

    Raises EngineError when this cannot be.
    """
    kind = kind_of(name)
    device = order.device.kind
    if device not in kind.dtypes:
        raise EngineError(
            f"The engine {name} does not run on {order.device}; it runs on {' and '.join(kind.dtypes)}."
        )
    dtype = order.dtype or kind.dtypes[device][0]
    _check(name, "precision", dtype, kind.dtypes[device])
    for method in order.methods:
        _check(name, "method", method, kind.methods)
    for option, value in order.options.items():
        _check(name, "option", option, tuple(kind.options))
        _check(name, f"value of {option}", value, kind.options[option].choices)
    if reason := missing(name, order.device):
        raise EngineError(reason)
    defaults = {option: about.choices[0] for option, about in kind.options.items()}
    return _module(name).make(replace(order, dtype=dtype, options=defaults | dict(order.options)))


def best_engines(order: Order, say: Progress) -> tuple[str, dict[str, Engine]]:
    """The fastest engine that runs here, and its name.

    say: called with a sentence for each faster one that does not. Raises
    EngineError, with the last one's reason, when none does.
    """
    *others, last = BEST[order.device.kind]
    for name in others:
        try:
            return name, make_engines(name, order)
        except EngineError as error:
            say(f"Not the engine {name}: {error}")
    return last, make_engines(last, order)


def missing(name: str, device: Device) -> str | None:
    """Why the engine cannot run on `device` here, in a sentence; None when it can."""
    return _module(name).missing(device)


def default_dtype(name: str, device: Device) -> str:
    """The precision that the engine runs in when none is asked for; empty where it does not run."""
    return (*kind_of(name).dtypes.get(device.kind, ()), "")[0]


def kind_of(name: str) -> Kind:
    """What is known of the engine. Raises EngineError when there is none of this name."""
    if name not in ENGINES:
        raise EngineError(f"There is no engine {name!r}; available: {', '.join(ENGINES)}.")
    return ENGINES[name]


def _of(name: str, options: Mapping[str, str]) -> dict[str, str]:
    """Those options that the engine has: another engine of the same run may have more."""
    return {option: value for option, value in options.items() if option in kind_of(name).options}


def _check(name: str, what: str, given: str, known: Collection[str]) -> None:
    if given not in known:
        raise EngineError(f"The engine {name} has no {what} {given!r}; it has {', '.join(known) or 'none'}.")


def _module(name: str) -> _Module:
    return cast(_Module, import_module(kind_of(name).module))
