"""Which engines there are, and how those that a plan asks for are made.

An engine is a module with two functions: `unavailable_reason(device)` says why
it cannot run here, `create_engines(config)` gives an engine for each method that
is asked for. What else must be known before it is imported, with all that stands
behind it, is data here.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from hybrid.engines.contract import Engine, EngineConfig, LoadedSystem
from hybrid.errors import EngineError
from hybrid.models.architectures import ARCHITECTURES
from hybrid.schema import METHODS, MODELS, Device, Notice, Observer, Plan, System, silent

if TYPE_CHECKING:
    from hybrid.models.sources import Source

AUTO = "auto"
INT8_ENCODER = "int8_encoder"  # an option


@dataclass(frozen=True)
class Option:
    """A setting of an engine. choices: the first one is the default."""

    choices: tuple[str, ...]
    about: str


@dataclass(frozen=True)
class EngineSpec:
    """One engine by what can be known without importing it.

    about: one line. module: where it is. methods: of METHODS.
    dtypes: by kind of device, cpu or cuda; the first one is the default.
    packages: that it stands on, besides torch and transformers.
    encoder_in_float32: of 8-bit engines, whether embeddings and encoder are not of 8 bits,
    unless the option int8_encoder is on.
    decoder_only_apart: whether it holds and multiplies matrices of decoder-only models in another way.
    families: of models/architectures/ that it runs, all when None. peer: whether a product of others runs
    them; without families, other ones, too.
    """

    about: str
    module: str
    dtypes: Mapping[str, tuple[str, ...]]
    methods: tuple[str, ...] = tuple(METHODS)
    options: Mapping[str, Option] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    encoder_in_float32: bool = False
    decoder_only_apart: bool = False
    families: tuple[str, ...] | None = None
    peer: bool = False


_KERNELS = Option(("auto", "triton-pdl", "triton", "torch"), "What computes a decoder's steps and passes.")
# Whose layers engines with graphs of their own know, see graph_coverage.
_GRAPHS = ("t5", "mt5", "gpt2", "llama", "qwen2")
_INT8_ENCODER = Option(("on", "off"), "Read the prompt with 8-bit matrices, too.")

ENGINES: Mapping[str, EngineSpec] = {
    "torch": EngineSpec(
        "The reference: an eager PyTorch loop over preallocated caches.",
        "hybrid.engines.torch.engine",
        {"cpu": ("float32", "bfloat16"), "cuda": ("bfloat16", "float32")},
    ),
    "onnx": EngineSpec(
        "ONNX Runtime on the CPU in 8 bits, built once from the pair's weights.",
        "hybrid.engines.onnx.engine",
        {"cpu": ("int8",)},
        MODELS,  # one pass over several drafts rounds its 8 bits otherwise than one over each
        {INT8_ENCODER: _INT8_ENCODER},
        packages=("onnxruntime",),
        encoder_in_float32=True,
        decoder_only_apart=True,
        families=_GRAPHS,
    ),
    "onnx-fp32": EngineSpec(
        "The same graphs in float32: token for token as the reference.",
        "hybrid.engines.onnx.engine",
        {"cpu": ("float32",)},
        packages=("onnxruntime",),
        families=_GRAPHS,
    ),
    "cuda-graph": EngineSpec(
        "Reading, decode steps and drafts captured in CUDA graphs over static caches.",
        "hybrid.engines.cuda.engine",
        {"cuda": ("bfloat16", "float16", "float32")},
        options={"kernels": _KERNELS},
        families=_GRAPHS,
    ),
    "transformers": EngineSpec(
        "Peer: transformers' own generate(), assisted generation included.",
        "hybrid.engines.transformers_engine",
        {"cpu": ("float32", "bfloat16"), "cuda": ("bfloat16", "float16", "float32")},
        peer=True,
    ),
    "transformers-int8": EngineSpec(
        "Peer: generate() after dynamic int8 quantization, the compression baseline.",
        "hybrid.engines.transformers_engine",
        {"cpu": ("int8",)},
        MODELS,
        encoder_in_float32=True,
        peer=True,
    ),
    "ctranslate2": EngineSpec(
        "Peer: CTranslate2 in int8; takes tokens only, so not the hybrid.",
        "hybrid.engines.ctranslate2_engine",
        {"cpu": ("int8",)},
        ("llm", "slm"),
        packages=("ctranslate2",),
        peer=True,
    ),
    "ctranslate2-fp32": EngineSpec(
        "Peer: CTranslate2 in float32.",
        "hybrid.engines.ctranslate2_engine",
        {"cpu": ("float32",)},
        ("llm", "slm"),
        packages=("ctranslate2",),
        peer=True,
    ),
    **{
        name: EngineSpec(
            f"Peer: llama.cpp with weights in {weights}; decoder-only models, so not the hybrid.",
            "hybrid.engines.llama_cpp_engine",
            {"cpu": (dtype,)},
            ("llm", "slm"),
            packages=("cyllama", "gguf"),
            families=("gpt2", "llama", "qwen2", "qwen3"),
            peer=True,
        )
        for name, dtype, weights in (
            ("llama.cpp", "int8", "Q8_0"),
            ("llama.cpp-q4", "int4", "Q4_1"),
            ("llama.cpp-fp32", "float32", "F32"),
        )
    },
}

# What --engine auto tries, in this order, by kind of device: transformers runs what the others lack.
BEST: Mapping[str, tuple[str, ...]] = {
    "cpu": ("onnx", "onnx-fp32", "torch", "transformers"),
    "cuda": ("cuda-graph", "torch", "transformers"),
}
DTYPES = tuple(dict.fromkeys(d for spec in ENGINES.values() for names in spec.dtypes.values() for d in names))
OPTIONS: Mapping[str, Option] = {name: o for spec in ENGINES.values() for name, o in spec.options.items()}


class EngineModule(Protocol):
    """What every engine's module has."""

    def unavailable_reason(self, device: Device) -> str | None:
        """Say in a sentence why the engine cannot run on `device` here; None when it can."""

    def create_engines(self, config: EngineConfig) -> dict[str, Engine]:
        """Make an engine for each method. Raises EngineError when this cannot be."""


def load_engines(
    plan: Plan,
    systems: Collection[System] | None = None,
    observer: Observer = silent,
    source: "Source | None" = None,
) -> tuple[Plan, dict[System, LoadedSystem]]:
    """Load each of `systems`, or of the plan's; gives the plan with what its engine came to, too.

    No more models are read than these need. An engine `auto` and an empty dtype
    are replaced. observer: told of what takes a while, and of each faster engine
    that does not run here. source: the pair, when it is not the plan's in the
    zoo. Raises EngineError when an engine cannot run here, PairError when the
    pair is unknown or damaged.
    """
    from hybrid.models.sources import ZooSource

    requested = systems or plan.systems
    groups: dict[str, list[System]] = {}
    for system in requested:
        groups.setdefault(plan.engine_of(system), []).append(system)
    for name in groups:
        if name != AUTO:
            spec_of(name)
    pair = source or ZooSource(plan.pair, observer=observer)
    loaded: dict[System, LoadedSystem] = {}
    for name, group in groups.items():
        own = name == plan.engine
        config = EngineConfig(
            source=pair,
            methods=tuple(system.method for system in group),
            device=plan.device,
            dtype=plan.dtype if own else "",
            threads=plan.threads,
            options=plan.engine_options if own else _options_of(name, plan.engine_options),
            observer=observer,
        )
        chosen, engines = best_engines(config) if name == AUTO else (name, create_engines(name, config))
        for system in group:
            loaded[system] = LoadedSystem(
                system=system, engine=engines[system.method], codec=pair.codec(system.method)
            )
        if own:
            dtype = plan.dtype or default_dtype(chosen, plan.device)
            plan = replace(plan, engine=chosen, dtype=dtype)
    return plan, {system: loaded[system] for system in requested}


def create_engines(name: str, config: EngineConfig) -> dict[str, Engine]:
    """Make the engine `name` for each method of `config`; an empty dtype becomes the engine's default.

    Raises EngineError when this cannot be.
    """
    spec = spec_of(name)
    device = config.device.kind
    if device not in spec.dtypes:
        raise EngineError(
            f"The engine {name} does not run on {config.device}; it runs on {' and '.join(spec.dtypes)}."
        )
    dtype = config.dtype or spec.dtypes[device][0]
    _check(name, "precision", dtype, spec.dtypes[device])
    for method in config.methods:
        _check(name, "method", method, spec.methods)
    for option, value in config.options.items():
        _check(name, "option", option, tuple(spec.options))
        _check(name, f"value of {option}", value, spec.options[option].choices)
    if reason := unavailable_reason(name, config.device):
        raise EngineError(reason)
    defaults = {option: about.choices[0] for option, about in spec.options.items()}
    complete = replace(config, dtype=dtype, options=defaults | dict(config.options))
    return _module(name).create_engines(complete)


def best_engines(
    config: EngineConfig, create: Callable[[str, EngineConfig], dict[str, Engine]] = create_engines
) -> tuple[str, dict[str, Engine]]:
    """Make the fastest engine that runs here; gives its name, too.

    The observer gets a notice for each faster one that does not. create: in
    place of create_engines(). Raises EngineError, with the last one's reason,
    when none does.
    """
    *others, last = BEST[config.device.kind]
    reasons = set[str]()  # one reason may keep two engines of a kind from running
    for name in others:
        try:
            return name, create(name, config)
        except EngineError as error:
            if str(error) not in reasons:
                config.observer(Notice(sentence=f"Not the engine {name}: {error}"))
            reasons.add(str(error))
    return last, create(last, config)


def unavailable_reason(name: str, device: Device) -> str | None:
    """Say in a sentence why the engine cannot run on `device` here; None when it can."""
    return _module(name).unavailable_reason(device)


def default_dtype(name: str, device: Device) -> str:
    """Find the precision that the engine runs in by default; empty where it does not run."""
    return (*spec_of(name).dtypes.get(device.kind, ()), "")[0]


def spec_of(name: str) -> EngineSpec:
    """Find what is known of the engine. Raises EngineError when there is none of this name."""
    if name not in ENGINES:
        raise EngineError(f"There is no engine {name!r}; available: {', '.join(ENGINES)}.")
    return ENGINES[name]


def engines_for(family: str, kind: str) -> tuple[str, ...]:
    """Name the engines that run models of a family on a kind of device, cpu or cuda."""
    return tuple(
        name
        for name, spec in ENGINES.items()
        if kind in spec.dtypes and family in (spec.families or ((family,) if spec.peer else ARCHITECTURES))
    )


def _options_of(name: str, options: Mapping[str, str]) -> dict[str, str]:
    """Those options that the engine has: another engine of the same run may have more."""
    return {option: value for option, value in options.items() if option in spec_of(name).options}


def _check(name: str, what: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise EngineError(f"The engine {name} has no {what} {value!r}; it has {', '.join(known) or 'none'}.")


def _module(name: str) -> EngineModule:
    return cast(EngineModule, import_module(spec_of(name).module))
