"""Engines by name: those a plan asks for, with no more models than they need."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hybrid.engines import registry as table
from hybrid.engines.contract import EngineConfig
from hybrid.engines.registry import (
    AUTO,
    BEST,
    DTYPES,
    ENGINES,
    best_engines,
    create_engines,
    default_dtype,
    load_engines,
    unavailable_reason,
)
from hybrid.errors import EngineError, PairError
from hybrid.measuring.answers import measure_answers
from hybrid.schema import CPU, METHODS, SYSTEMS, Device, Plan, Sampling, System
from tests.bundle_source import BundleSource
from tests.loaded import ask

PLAN = Plan(
    "suite",
    suite_hash="",
    task="translate-en-de",
    pair="tiny",
    systems=SYSTEMS,
    engine="torch",
    dtype="float32",
)


@pytest.fixture(autouse=True)
def _tiny_zoo(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[EngineConfig]]:
    """module(name, missing=None, error=None): another module in place of an engine's; the orders it gets."""
    real, others = table._module, {}
    monkeypatch.setattr(table, "_module", lambda name: others.get(name) or real(name))

    def put(name: str, missing: str | None = None, error: EngineError | None = None) -> list[EngineConfig]:
        orders: list[EngineConfig] = []

        def create_engines(config: EngineConfig) -> dict[str, Any]:
            orders.append(config)
            if error:
                raise error
            return {method: SimpleNamespace(method=method, name=name) for method in config.methods}

        others[name] = SimpleNamespace(unavailable_reason=lambda _: missing, create_engines=create_engines)
        return orders

    return put


def test_the_plans_systems_are_made_and_its_settings_kept():
    plan, engines = load_engines(replace(PLAN, systems=(System("slm"), System("hybrid")), dtype="bfloat16"))
    assert {name: engine.engine.method for name, engine in engines.items()} == {
        "slm": "slm",
        "hybrid": "hybrid",
    }
    assert {engine.engine.dtype for engine in engines.values()} == {"bfloat16"}
    assert {engine.engine.device for engine in engines.values()} == {"cpu"}
    assert (plan.engine, plan.dtype) == ("torch", "bfloat16")


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_engine_alone_reads_its_own_models_and_answers_the_same(system: System, tiny_bundle):
    from hybrid.engines.torch.engine import TorchEngine

    sentences: list[str] = []
    alone = load_engines(PLAN, [system], lambda event: sentences.append(event.sentence))[1][system]
    assert f"Reading the {'hybrid' if system == 'hybrid' else system.upper()}" in sentences
    assert len([sentence for sentence in set(sentences) if sentence != "Reading the tokenizer"]) == 1
    task, texts, sampling = PLAN.task, ["The house by the river is old."], Sampling(12)
    together = TorchEngine(tiny_bundle, system)
    (generation,) = measure_answers(alone, task, texts, sampling)
    (expected,) = ask(together, tiny_bundle, task, texts, sampling)
    assert generation.token_ids == expected.token_ids


def test_one_run_holds_several_engines(module):
    onnx, peer = module("onnx"), module("ctranslate2")
    systems = tuple(map(System.parse, ("llm", "hybrid", "llm@ctranslate2", "slm@ctranslate2")))
    plan = replace(PLAN, systems=systems, engine="onnx", dtype="int8", engine_options={"int8_encoder": "on"})
    loaded_plan, engines = load_engines(plan)
    assert list(engines) == list(systems)
    assert [engines[s].engine.name for s in systems] == ["onnx", "onnx", "ctranslate2", "ctranslate2"]
    assert loaded_plan == plan
    assert [(config.methods, config.dtype, config.options) for config in onnx + peer] == [
        (("llm", "hybrid"), "int8", {"int8_encoder": "on"}),
        (("llm", "slm"), "int8", {}),
    ]


def test_auto_takes_the_first_that_runs_and_says_why_others_do_not(module):
    module("onnx", missing="There is no onnxruntime.")
    module("onnx-fp32", missing="There is none.")
    sentences: list[str] = []
    plan, engines = load_engines(
        replace(PLAN, engine=AUTO, dtype=""), observer=lambda event: sentences.append(event.sentence)
    )
    assert (plan.engine, plan.dtype) == ("torch", "float32")
    assert {engine.engine.name for engine in engines.values()} == {"torch"}
    assert [sentence for sentence in sentences if sentence.startswith("Not")] == [
        "Not the engine onnx: There is no onnxruntime.",
        "Not the engine onnx-fp32: There is none.",
    ]


def test_auto_goes_on_where_an_engine_lacks_an_operation(module, tiny_bundle):
    lacks = EngineError("This engine runs T5 models.")
    for engine in ("onnx", "onnx-fp32", "torch"):
        module(engine, error=lacks)
    orders = module("transformers")
    name, _ = best_engines(EngineConfig(BundleSource(tiny_bundle), ("llm",), dtype=""))
    assert (name, orders[0].dtype) == ("transformers", "float32")


def test_what_no_engine_can_is_the_last_ones_reason(module, tiny_bundle):
    for name in BEST["cpu"]:
        module(name, missing=f"No {name}.")
    with pytest.raises(EngineError, match=r"^No transformers\.$"):
        best_engines(EngineConfig(BundleSource(tiny_bundle), ("llm",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "abacus"}, r"There is no engine 'abacus'; available: torch, onnx, .*llama.cpp-fp32\."),
        ({"systems": (System("llm"), System("llm", "abacus"))}, "There is no engine 'abacus'"),
        ({"device": Device("cuda", 77)}, r"Device 'cuda:77' cannot be used here; available: cpu"),
        (
            {"engine": "onnx", "device": Device("cuda")},
            "The engine onnx does not run on cuda; it runs on cpu",
        ),
        ({"engine": "onnx", "dtype": "bfloat16"}, "onnx has no precision 'bfloat16'; it has int8"),
        (
            {"systems": (System("hybrid", "ctranslate2"),)},
            "ctranslate2 has no method 'hybrid'; it has llm, slm",
        ),
        ({"engine_options": {"speed": "on"}}, "torch has no option 'speed'; it has none"),
        (
            {"engine": "onnx", "dtype": "", "engine_options": {"int8_encoder": "maybe"}},
            "onnx has no value of int8_encoder 'maybe'; it has on, off",
        ),
    ],
)
def test_what_is_not_here_is_named_with_what_is(changes: dict[str, Any], message: str):
    with pytest.raises(EngineError, match=message):
        load_engines(replace(PLAN, **changes))


def test_an_unknown_pair_is_named():
    with pytest.raises(PairError, match=r"There is no pair 'huge'; available: tiny\."):
        load_engines(replace(PLAN, pair="huge"))


def test_an_engine_gets_its_default_precision_and_options(module, tiny_bundle):
    orders = module("onnx")
    create_engines("onnx", EngineConfig(BundleSource(tiny_bundle), ("llm",), dtype=""))
    assert (orders[0].dtype, orders[0].options) == ("int8", {"int8_encoder": "on"})


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_says_whether_it_runs_here(name: str):
    for device in (CPU, Device("cuda"), Device("cuda", 3)):
        reason = unavailable_reason(name, device)
        assert reason is None or (reason.endswith(".") and len(reason) < 250)


def test_the_precision_follows_the_device():
    assert [default_dtype("torch", device) for device in (CPU, Device("cuda"), Device("cuda", 1))] == [
        "float32",
        "bfloat16",
        "bfloat16",
    ]
    assert default_dtype("onnx", Device("cuda")) == ""
    assert {default_dtype(name, CPU) for name in ENGINES} <= {*DTYPES, ""}


def test_all_that_is_known_fits_together():
    for names in BEST.values():
        assert set(names) <= set(ENGINES)
    assert all(set(kind.methods) <= set(METHODS) for kind in ENGINES.values())


def test_the_names_of_engines_are_known_without_torch():
    code = "import sys, hybrid.engines.registry; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_order_names_methods_that_there_are(tiny_bundle):
    with pytest.raises(ValueError, match="methods are ssm; known: llm, slm, hybrid"):
        EngineConfig(BundleSource(tiny_bundle), ("ssm",))
