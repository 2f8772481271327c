"""Which systems can be asked for here: by what is installed, so that nothing heavy is imported to know it."""

import shutil
from functools import cache
from importlib.util import find_spec

from hybrid.engines.registry import ENGINES, unavailable_reason
from hybrid.errors import InputError
from hybrid.schema import CPU, METHODS, SYSTEMS, Device, System
from hybrid.store.tables import Table

DEFAULT: tuple[System, ...] = SYSTEMS
MOST = 6  # systems at once: more cards than that cannot be compared by eye
ABOUT_ENGINES = {
    "engine": "What runs the models.",
    "device": "What it runs on.",
    "runs here": "Whether it can be chosen.",
    "systems": "What it can run.",
    "precision": "Of weights and arithmetic, the default first.",
    "about": "What it is, or why it does not run here.",
}


@cache
def devices() -> tuple[Device, ...]:
    """Tell what engines can run on here: the GPU where its driver is installed."""
    return (CPU, Device("cuda")) if shutil.which("nvidia-smi") else (CPU,)


@cache
def systems() -> tuple[System, ...]:
    """List METHOD, which takes the fastest engine, and METHOD@ENGINE for each engine that is installed."""
    installed = [
        name
        for name, kind in ENGINES.items()
        if not kind.dtypes.keys().isdisjoint(devices()) and all(map(find_spec, kind.packages))
    ]
    named = (
        System(method, name) for name in installed for method in METHODS if method in ENGINES[name].methods
    )
    return (*map(System, METHODS), *named)


def check_systems(chosen: tuple[System, ...]) -> None:
    """Raise InputError when these cannot be asked together."""
    if not chosen:
        raise InputError("No system is chosen; choose at least one.")
    if len(chosen) > MOST:
        raise InputError(f"{len(chosen)} systems are chosen; choose {MOST} at the most.")


def engines_here() -> Table:
    """Every engine and whether it runs here. Imports them all: seconds."""
    rows = []
    for name, kind in ENGINES.items():
        for device, dtypes in kind.dtypes.items():
            reason: str | None = "No GPU was found on this machine."
            if device in devices():
                reason = unavailable_reason(name, Device(device))
            systems_of = ", ".join(kind.methods)
            runs = "no" if reason else "yes"
            rows.append((name, device, runs, systems_of, ", ".join(dtypes), reason or kind.about))
    return Table(ABOUT_ENGINES, rows)
