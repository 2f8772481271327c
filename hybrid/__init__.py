"""Hybrid Bench: a large model reads, a small model writes.

`import hybrid` stays light: names are loaded on first use, so that nothing
here imports torch before a model is wanted.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Bundle": "hybrid.models.bundle",
    "HybridConfig": "hybrid.models.pair",
    "HybridForConditionalGeneration": "hybrid.models.pair",
    "available_pairs": "hybrid.models.manifest",
    "load_bundle": "hybrid.models.bundle",
    "TorchEngine": "hybrid.engines.torch.engine",
    "timed": "hybrid.measuring.clock",
    "list_runs": "hybrid.store",
    "load_run": "hybrid.store",
    "load_suite": "hybrid.suites",
    "Example": "hybrid.schema",
    "Generation": "hybrid.schema",
    "Record": "hybrid.schema",
    "Run": "hybrid.schema",
    "Sampling": "hybrid.schema",
    "Step": "hybrid.schema",
    "Suite": "hybrid.schema",
    "Timing": "hybrid.schema",
    "HybridError": "hybrid.errors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:  # PEP 562
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hybrid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
