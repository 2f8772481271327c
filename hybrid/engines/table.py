"""Which engines there are, and how the engines that a plan asks for are made."""

from collections.abc import Callable, Collection, Mapping

from hybrid.errors import EngineError
from hybrid.measure import Engine
from hybrid.schema import Plan, System

DEFAULT_DTYPES: Mapping[str, str] = {"cpu": "float32", "cuda": "bfloat16"}
DTYPES = ("float32", "bfloat16")  # T5's activations overflow float16
Progress = Callable[[str], None]
Make = Callable[[Plan, Collection[System], Progress], dict[System, Engine]]


def load_engines(
    plan: Plan, systems: Collection[System] | None = None, progress: Progress = lambda _: None
) -> dict[System, Engine]:
    """An engine for each of `systems`, or of the plan's, with no more models than these need.

    progress: called with a short sentence before each part is read. Raises
    EngineError when the engine cannot run here, PairError when the pair is unknown or damaged.
    """
    if plan.engine not in ENGINES:
        raise EngineError(f"There is no engine {plan.engine!r}; available: {', '.join(ENGINES)}.")
    return ENGINES[plan.engine](plan, systems or plan.systems, progress)


def default_dtype(device: str) -> str:
    """The precision an engine runs in when none is asked for."""
    return DEFAULT_DTYPES.get(device.partition(":")[0], DEFAULT_DTYPES["cpu"])


def _torch(plan: Plan, systems: Collection[System], progress: Progress) -> dict[System, Engine]:
    import torch

    from hybrid.engines.torch_engine import TorchEngine
    from hybrid.model.bundle import load_bundle

    torch.set_num_threads(plan.threads)  # for reading and packing the weights too
    bundle = load_bundle(plan.pair, progress=progress, systems=systems)
    dtype: torch.dtype = getattr(torch, plan.dtype)
    return {
        system: TorchEngine(bundle, system, plan.device, dtype, threads=plan.threads) for system in systems
    }


ENGINES: Mapping[str, Make] = {"torch": _torch}
