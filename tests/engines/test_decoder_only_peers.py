"""Decoder-only models by peers: ids in float32 are those of generate(); what would differ is refused."""

import resource
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch

from hybrid.engines.contract import EngineConfig
from hybrid.errors import EngineError
from hybrid.schema import CPU, Device, EncodedPrompt, Sampling
from tests.engines.any_pairs import NEW, PROMPTS, AnyPair, answers, expected, phases
from tests.models.tiny import tiny_model

PEERS = {"ctranslate2": "CTranslate2", "llama_cpp": "llama.cpp"}
FAMILIES = ("llama", "gpt2", "qwen2", "qwen3")
TURNED = {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
VARIANTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "another base of positions": (
        "llama",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    ),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "no grouped heads": ("llama", {"num_key_value_heads": 4}),
    "one matrix of embeddings": ("llama", {"tie_word_embeddings": True}),
    "a large epsilon": ("llama", {"rms_norm_eps": 0.1}),
    "wide heads": ("qwen3", {"head_dim": 20}),
    "a large epsilon of layer norms": ("gpt2", {"layer_norm_epsilon": 0.1}),
    "a width of its own inside": ("gpt2", {"n_inner": 40}),
    "a head of its own": ("gpt2", {"tie_word_embeddings": False}),
}
# Some it would run and write other ids, seen with CTranslate2 4.8 and cyllama 0.2.18.
REFUSED: Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "its family": ("gemma3_text", {}, tuple(PEERS)),
    "the type llama3": (
        "llama", {"rope_parameters": TURNED | LLAMA3 | {"rope_type": "llama3"}}, tuple(PEERS),
    ),
    "the type linear": ("llama", {"rope_parameters": TURNED}, ("llama_cpp",)),
    "its windows": (
        "qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, tuple(PEERS),
    ),
    "4 heads of 20 where": ("llama", {"head_dim": 20}, ("ctranslate2",)),
    "the activation relu": ("gpt2", {"activation_function": "relu"}, ("llama_cpp",)),
}  # fmt: skip


@pytest.fixture(params=PEERS)
def peer(request) -> ModuleType:
    module = import_module(f"hybrid.engines.{request.param}_engine")
    if reason := module.unavailable_reason(CPU):
        pytest.skip(reason)
    return module


@pytest.fixture
def made(peer) -> Callable[..., tuple[Any, Any]]:
    """made(family, dtype, **settings): a random LLM of the family, and the peer's engine of it."""

    def make(family: str, dtype: str = "float32", **settings: Any) -> tuple[Any, Any]:
        pair = AnyPair("gpt2", "gpt2")
        pair.models["llm"] = tiny_model(family, 64, **settings)
        return pair.model("llm"), peer.create_engines(EngineConfig(pair, ("llm",), dtype=dtype))["llm"]

    return make


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_ids_equal_generate_alone_and_in_a_batch(peer, family, stop):
    pair = AnyPair(family, family)
    for method, engine in peer.create_engines(EngineConfig(pair, ("llm", "slm"))).items():
        written = [expected(pair.model(method), prompt, (1,) if stop else ()) for prompt in PROMPTS]
        assert [answers(engine, [prompt], stop)[0] for prompt in PROMPTS] == written
        assert answers(engine, PROMPTS, stop) == written
        assert phases(engine, PROMPTS[1]) == ["prefill", "decode"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_a_family_is_read_as_it_is(made, variant):
    family, settings = VARIANTS[variant]
    model, engine = made(family, **settings)
    assert answers(engine, PROMPTS) == [expected(model, prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("reason", REFUSED)
def test_what_it_would_run_otherwise_is_refused(peer, made, reason):
    family, settings, peers = REFUSED[reason]
    if peer.__name__.removeprefix("hybrid.engines.").removesuffix("_engine") in peers:
        with pytest.raises(EngineError, match=f"does not run this {family}, for .*{reason}.*--engine torch"):
            made(family, **settings)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_few_bits_answer_nearly_alike_and_leave_the_weights_alone(peer, made, family, dtype):
    if dtype == "int4" and "llama" not in peer.__name__:
        pytest.skip("it has none")
    model, engine = made(family, dtype)
    exact = tiny_model(family, 64)
    assert all(map(torch.equal, model.state_dict().values(), exact.state_dict().values()))
    rounded = [ids for (ids,) in (answers(engine, [prompt]) for prompt in PROMPTS)]
    alike = sum(a[0] == expected(exact, prompt)[0] for a, prompt in zip(rounded, PROMPTS, strict=True))
    assert alike >= {"int8": 3, "int4": 1}[dtype]  # random models are never sure
    assert {len(ids) for ids in rounded} == {NEW}


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_an_answer_beyond_the_models_positions_is_refused(made, family):
    _, engine = made(family)
    with pytest.raises(EngineError, match=r"256 tokens.*257"):
        next(engine.generate([EncodedPrompt(tuple(PROMPTS[0]))], Sampling(254, ignore_eos=True)))


@pytest.mark.parametrize("module", PEERS)
def test_where_it_cannot_run(monkeypatch, module):
    peer = import_module(f"hybrid.engines.{module}_engine")
    name = PEERS[module].lower()
    assert peer.unavailable_reason(Device("cuda", 1)) == (
        f"The engine {name} runs on the CPU only, not on 'cuda:1'; choose --device cpu."
    )
    monkeypatch.setattr(peer, "find_spec", lambda package: None)
    assert peer.unavailable_reason(CPU) == (
        f"The package {'ctranslate2' if module == 'ctranslate2' else 'cyllama'} is not installed; "
        "pip install 'hybrid-bench[peers]' brings it."
    )
    monkeypatch.setattr(peer, "find_spec", lambda package: package)
    assert peer.unavailable_reason(CPU) is None


def test_full_disks_are_one_sentence_and_leave_nothing(peer, tmp_path, monkeypatch):
    """Of the cache, and of the folder for temporary files that is taken in its place."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    pair = AnyPair("llama", "gpt2")
    pair.weights_sha256 = lambda _: "0123456789abcdef" * 4
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
    try:
        with pytest.raises(
            EngineError, match=r"llm cannot be converted .*tmp cannot be written \(.+\); make"
        ):
            peer.create_engines(EngineConfig(pair, ("llm",)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert peer.create_engines(EngineConfig(pair, ("llm",)))


def test_a_model_is_converted_once(peer, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    pair, sentences = AnyPair("llama", "gpt2"), list[str]()
    pair.weights_sha256 = lambda _: "0123456789abcdef" * 4
    config = EngineConfig(pair, ("llm",), observer=lambda event: sentences.append(event.sentence))
    first = answers(peer.create_engines(config)["llm"], PROMPTS)
    (folder,) = next(tmp_path.iterdir()).iterdir()
    assert folder.name.startswith("0123456789abcdef0123456789abcdef-float32-")
    pair.bundle = None  # nothing is read again
    assert answers(peer.create_engines(config)["llm"], PROMPTS) == first
    assert sentences == [
        f"Converting the llm for {PEERS[peer.__name__.split('.')[-1].removesuffix('_engine')]}"
    ]
