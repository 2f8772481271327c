"""Hybrid Bench: a large model reads, a small model writes.

`import hybrid` stays light: names are loaded on first use, so that nothing
here imports torch before a model is wanted.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Libraries that report on their use are told not to before any of them is imported, here and in every
# process that is started from here. ONNX Runtime: Privacy.md of its package; huggingface_hub:
# its "Environment variables"; DO_NOT_TRACK: donottrack.sh, for those to come.
for _switch in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ.setdefault(_switch, "1")

if TYPE_CHECKING:  # names as themselves are re-exported; one line a module, not one a name
    # ruff: noqa: I001
    from hybrid.benchmark.plans import (
        decode_plan as decode_plan,
        encode_plan as encode_plan,
        load_plan as load_plan,
    )
    from hybrid.benchmark.private import make_private as make_private
    from hybrid.benchmark.run import resume_benchmark as resume_benchmark, run_benchmark as run_benchmark
    from hybrid.benchmark.scoring import score_run as score_run
    from hybrid.compare import Comparison as Comparison, compare_runs as compare_runs
    from hybrid.engines.registry import ENGINES as ENGINES, load_engines as load_engines
    from hybrid.engines.torch.engine import TorchEngine as TorchEngine
    from hybrid.errors import HybridError as HybridError
    from hybrid.measuring.answers import measure_answers as measure_answers
    from hybrid.models.bundle import Bundle as Bundle, load_bundle as load_bundle
    from hybrid.models.manifest import available_pairs as available_pairs
    from hybrid.models.pair import (
        HybridConfig as HybridConfig,
        HybridForCausalLM as HybridForCausalLM,
        HybridForConditionalGeneration as HybridForConditionalGeneration,
    )
    from hybrid.models.writing import add_pair as add_pair, remove_pair as remove_pair
    from hybrid.presentation.report import html_report as html_report
    from hybrid.presentation.runs.exports import export_csv as export_csv
    from hybrid.schema import (
        METHODS as METHODS,
        Device as Device,
        Event as Event,
        Example as Example,
        Generation as Generation,
        Observer as Observer,
        Plan as Plan,
        Record as Record,
        Run as Run,
        Sampling as Sampling,
        Step as Step,
        Suite as Suite,
        System as System,
        Timing as Timing,
    )
    from hybrid.sizing.run import (
        GridRequest as GridRequest,
        measure_grid as measure_grid,
        resume_grid as resume_grid,
    )
    from hybrid.store import StoredRun as StoredRun, list_runs as list_runs, load_run as load_run
    from hybrid.suites import load_suite as load_suite

_NAMES = {
    "hybrid.benchmark.plans": (
        "decode_plan",
        "encode_plan",
        "load_plan",
    ),
    "hybrid.benchmark.private": ("make_private",),
    "hybrid.benchmark.run": (
        "resume_benchmark",
        "run_benchmark",
    ),
    "hybrid.benchmark.scoring": ("score_run",),
    "hybrid.compare": (
        "Comparison",
        "compare_runs",
    ),
    "hybrid.engines.registry": (
        "ENGINES",
        "load_engines",
    ),
    "hybrid.engines.torch.engine": ("TorchEngine",),
    "hybrid.errors": ("HybridError",),
    "hybrid.measuring.answers": ("measure_answers",),
    "hybrid.models.bundle": (
        "Bundle",
        "load_bundle",
    ),
    "hybrid.models.manifest": ("available_pairs",),
    "hybrid.models.pair": (
        "HybridConfig",
        "HybridForCausalLM",
        "HybridForConditionalGeneration",
    ),
    "hybrid.models.writing": (
        "add_pair",
        "remove_pair",
    ),
    "hybrid.presentation.report": ("html_report",),
    "hybrid.presentation.runs.exports": ("export_csv",),
    "hybrid.schema": (
        "METHODS",
        "Device",
        "Event",
        "Example",
        "Generation",
        "Observer",
        "Plan",
        "Record",
        "Run",
        "Sampling",
        "Step",
        "Suite",
        "System",
        "Timing",
    ),
    "hybrid.sizing.run": (
        "GridRequest",
        "measure_grid",
        "resume_grid",
    ),
    "hybrid.store": (
        "StoredRun",
        "list_runs",
        "load_run",
    ),
    "hybrid.suites": ("load_suite",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:  # PEP 562
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hybrid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
