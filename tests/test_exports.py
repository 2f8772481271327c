"""The public names, and what importing them costs."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import hybrid

HEAVY = ("torch", "transformers", "streamlit", "pandas", "plotly", "accelerate")
LIGHT_MODULES = (
    "hybrid",
    "hybrid.cli",
    "hybrid.errors",
    "hybrid.schema",
    "hybrid.measuring.answers",
    "hybrid.metrics",
    "hybrid.suites",
    "hybrid.store",
    "hybrid.store.tables",
    "hybrid.measuring.lock",
    "hybrid.measuring.environment",
    "hybrid.compare",
    "hybrid.compare.export",
    "hybrid.benchmark.run",
    "hybrid.benchmark.schedule",
    "hybrid.sizing.run",
    "hybrid.measuring.memory",
    "hybrid.engines.registry",
)


def test_public_names() -> None:
    assert hybrid.__all__ == [
        "Bundle",
        "Comparison",
        "Device",
        "ENGINES",
        "Event",
        "Example",
        "Generation",
        "GridRequest",
        "HybridConfig",
        "HybridError",
        "HybridForCausalLM",
        "HybridForConditionalGeneration",
        "METHODS",
        "Observer",
        "Plan",
        "Record",
        "Run",
        "Sampling",
        "Step",
        "StoredRun",
        "Suite",
        "System",
        "Timing",
        "TorchEngine",
        "add_pair",
        "available_pairs",
        "compare_runs",
        "decode_plan",
        "encode_plan",
        "export_csv",
        "html_report",
        "list_runs",
        "load_bundle",
        "load_engines",
        "load_plan",
        "load_run",
        "load_suite",
        "make_private",
        "measure_answers",
        "measure_grid",
        "remove_pair",
        "resume_benchmark",
        "resume_grid",
        "run_benchmark",
        "score_run",
    ]


@pytest.mark.parametrize("name", hybrid.__all__)
def test_public_name_is_that_of_its_module(name: str) -> None:
    assert getattr(hybrid, name) is getattr(import_module(hybrid._HOME[name]), name)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(hybrid.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module for node in imports for alias in node.names if alias.asname}
    assert seen == hybrid._HOME


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hybrid.nothing


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
