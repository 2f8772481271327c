"""Engines by name: those a plan asks for, with no more models than they need."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.engines.table import DTYPES, ENGINES, default_dtype, load_engines
from hybrid.errors import EngineError, PairError
from hybrid.measure import timed
from hybrid.schema import SYSTEMS, Plan, Sampling, System

PLAN = Plan("suite", "", "translate-en-de", "tiny")


@pytest.fixture(autouse=True)
def _tiny_zoo(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))


def test_the_plans_systems_are_made_and_its_settings_kept():
    engines = load_engines(replace(PLAN, systems=("slm", "hybrid"), dtype="bfloat16"))
    assert {name: engine.system for name, engine in engines.items()} == {"slm": "slm", "hybrid": "hybrid"}
    assert {engine.dtype for engine in engines.values()} == {"bfloat16"}
    assert {engine.device for engine in engines.values()} == {"cpu"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_engine_alone_reads_its_own_models_and_answers_the_same(system: System, tiny_bundle):
    from hybrid.engines.torch_engine import TorchEngine

    said: list[str] = []
    alone = load_engines(PLAN, [system], said.append)[system]
    assert said == [
        "Reading the tokenizer",
        f"Reading the {'hybrid' if system == 'hybrid' else system.upper()}",
    ]
    task, texts, sampling = PLAN.task, ["The house by the river is old."], Sampling(12)
    together = TorchEngine(tiny_bundle, system)
    ids = [timed(engine.generate(task, texts, sampling), system)[0].token_ids for engine in (alone, together)]
    assert ids[0] == ids[1]


def test_what_is_not_here_is_named_with_what_is():
    with pytest.raises(EngineError, match=r"There is no engine 'abacus'; available: torch\."):
        load_engines(replace(PLAN, engine="abacus"))
    with pytest.raises(EngineError, match=r"Device 'cuda:77' cannot be used here; available: cpu"):
        load_engines(replace(PLAN, device="cuda:77"))
    with pytest.raises(PairError, match=r"There is no pair 'huge'; available: tiny\."):
        load_engines(replace(PLAN, pair="huge"))


def test_the_precision_follows_the_device():
    assert [default_dtype(device) for device in ("cpu", "cuda", "cuda:1")] == [
        "float32",
        "bfloat16",
        "bfloat16",
    ]
    assert {default_dtype("cpu"), default_dtype("cuda")} <= set(DTYPES)


def test_the_names_of_engines_are_known_without_torch():
    code = "import sys, hybrid.engines.table; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list(ENGINES) == ["torch"]
