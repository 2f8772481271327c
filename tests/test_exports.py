"""The public names, and what importing them costs."""

import subprocess
import sys

import pytest

import hybrid

HEAVY = ("torch", "transformers", "streamlit", "pandas", "plotly", "accelerate")
LIGHT_MODULES = (
    "hybrid",
    "hybrid.cli",
    "hybrid.errors",
    "hybrid.schema",
    "hybrid.measuring.clock",
    "hybrid.metrics",
    "hybrid.suites",
    "hybrid.store",
    "hybrid.store.tables",
    "hybrid.measuring.lock",
    "hybrid.measuring.environment",
    "hybrid.compare",
    "hybrid.compare.export",
    "hybrid.benchmark.schedule",
    "hybrid.measuring.memory",
    "hybrid.engines.registry",
)


def test_public_names() -> None:
    assert hybrid.__all__ == [
        "Bundle",
        "Example",
        "Generation",
        "HybridConfig",
        "HybridError",
        "HybridForConditionalGeneration",
        "Record",
        "Run",
        "Sampling",
        "Step",
        "Suite",
        "Timing",
        "TorchEngine",
        "available_pairs",
        "list_runs",
        "load_bundle",
        "load_run",
        "load_suite",
        "timed",
    ]


@pytest.mark.parametrize("name", hybrid.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(hybrid, name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hybrid.nothing


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
