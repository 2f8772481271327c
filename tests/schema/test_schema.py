"""The nouns: frozen, checked where they are made, standard library only."""

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest

from hybrid.schema import (
    BASELINE,
    CPU,
    METHODS,
    MODELS,
    PHASES,
    SYSTEMS,
    TASKS,
    Device,
    Plan,
    Ran,
    Sampling,
    Step,
    System,
    Timing,
)


def test_tasks_are_keyed_by_their_names_and_have_t5_prefixes():
    assert list(TASKS) == ["translate-en-de", "summarize"]
    assert all(name == task.name for name, task in TASKS.items())
    assert TASKS["translate-en-de"].prefix == "translate English to German: "
    assert TASKS["summarize"].prefix == "summarize: "


def test_names_of_systems_and_phases():
    assert SYSTEMS == MODELS == ("llm", "slm", "hybrid")
    assert PHASES == (
        "tokenize", "encode", "project", "prefill", "draft", "verify", "decode", "detokenize",
    )  # fmt: skip


def test_a_system_is_a_method_and_perhaps_an_engine():
    assert [System.parse(name).method for name in (*METHODS, "llm@torch")] == [*METHODS, "llm"]
    plan = Plan(
        "suite",
        suite_hash="",
        task="summarize",
        pair="tiny",
        systems=(BASELINE, System("llm", "ctranslate2")),
        engine="onnx",
    )
    assert [plan.engine_of(system) for system in plan.systems] == ["onnx", "ctranslate2"]


@pytest.mark.parametrize("system", ["", "ssm", "llm@", "@torch", "LLM"])
def test_a_system_that_is_none_is_refused(system):
    with pytest.raises(ValueError, match=f"system is '{system}', not one of llm, slm, hybrid, lossless"):
        System.parse(system)


def test_methods_need_the_models_that_they_are_made_of():
    assert all(METHODS[model].models == (model,) for model in MODELS)
    assert METHODS["lossless"].models == ("llm", "hybrid")
    assert [name for name, method in METHODS.items() if method.lossless] == [*METHODS][3:]


def test_how_a_system_ran_is_the_plans_where_it_was_not_recorded(fake_run):
    run = fake_run(systems=(System("llm"), System.parse("slm@onnx"))).run
    assert run.ran_as(System("slm", "onnx")) == Ran(engine="onnx", device=CPU, dtype="float32")
    stated = Ran(
        engine="onnx",
        device=CPU,
        dtype="int8",
        options={"int8_encoder": "off"},
        decode_bytes=7,
        encode_flops=9,
    )
    assert dataclasses.replace(run, ran={"slm@onnx": stated}).ran_as("slm@onnx") == stated


@pytest.mark.parametrize("tokens", [0, -1])
def test_sampling_needs_room_for_a_token(tokens):
    with pytest.raises(ValueError, match=f"max_new_tokens is {tokens}"):
        Sampling(max_new_tokens=tokens)


def test_timing_derives_its_figures_from_raw_times():
    timing = Timing({"encode": 1.0, "prefill": 0.5, "decode": 2.0}, (1.5, 2.5, 3.5))
    assert (timing.total_s, timing.ttft_s, timing.tpot_s) == (3.5, 1.5, 1.0)


def test_one_token_has_no_time_per_output_token():
    assert Timing({"prefill": 1.0}, (1.0,)).tpot_s is None


def test_nouns_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Step("encode").phase = "decode"


def test_the_schema_needs_only_the_standard_library():
    code = "import sys, hybrid.schema; sys.exit(bool({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_device_is_a_kind_and_perhaps_an_ordinal():
    assert [(d.kind, d.ordinal) for d in map(Device.parse, ("cpu", "cuda", "cuda:3"))] == [
        ("cpu", None), ("cuda", None), ("cuda", 3),
    ]  # fmt: skip
    for text in ("", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:²"):
        with pytest.raises(ValueError, match="device is"):
            Device.parse(text)


def test_values_that_are_their_own_text_survive_copying():
    for value in (System("llm", "onnx"), Device("cuda", 1)):
        twin = pickle.loads(pickle.dumps(value))
        assert type(twin) is type(value)
        assert (twin, vars_of(twin)) == (value, vars_of(value))
        assert vars_of(copy.deepcopy(value)) == vars_of(value)


def vars_of(value: str) -> list[object]:
    return [getattr(value, name) for name in type(value).__slots__]


def test_a_method_reads_and_writes_with_a_models_tokenizer() -> None:
    assert {name: (method.reader, method.writer) for name, method in METHODS.items()} == {
        "llm": ("llm", "llm"),
        "slm": ("slm", "slm"),
        "hybrid": ("llm", "slm"),
        **dict.fromkeys(("lossless", "lossless-slm", "lossless-lookup"), ("llm", "llm")),
    }
