"""In float32 the onnx engine gives the torch engine's ids, however long and however many; what it refuses."""

import gc
import weakref
from dataclasses import replace

import onnxruntime
import pytest

from hybrid.engines.contract import EngineConfig
from hybrid.engines.onnx import decoder_runtime
from hybrid.engines.onnx import engine as onnx_engine
from hybrid.engines.onnx.decoder_runtime import CHUNK
from hybrid.errors import EngineError
from hybrid.models.bundle import load_bundle
from hybrid.models.sources import ZooSource
from hybrid.schema import CPU, METHODS, MODELS, Device, Sampling
from tests.loaded import encoded, prompt_ids

LOSSLESS = tuple(method for method in METHODS if method not in MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_ids_equal_the_torch_engines(exact, engines, tiny_bundle, texts, answer, same, model):
    generations = [answer(exact[model], text) for text in texts]
    assert {generation.finish_reason for generation in generations} == {"eos", "length"}
    assert (
        max(generation.prompt_tokens for generation in generations) > 128
    )  # beyond T5's last distance bucket
    for text, generation in zip(texts, generations, strict=True):
        expected = answer(engines[model], text)
        prompt = prompt_ids(tiny_bundle, text)
        assert same(tiny_bundle.model(model), prompt, generation.token_ids, expected.token_ids)
        if generation.token_ids == expected.token_ids:
            assert (generation.text, generation.finish_reason) == (expected.text, expected.finish_reason)
            assert generation.prompt_tokens == expected.prompt_tokens


@pytest.mark.parametrize("model", MODELS)
def test_long_answers_equal_across_chunks_and_capacities(
    make, tiny_bundle, engines, texts, answer, model, monkeypatch
):
    """Beyond 128 tokens distances reach the last bucket; caches are made anew for longer answers."""
    monkeypatch.setattr(decoder_runtime, "CAPACITY", 4)
    engine = make(tiny_bundle, model)[model]
    text = next(t for t in reversed(texts) if answer(engines[model], t).finish_reason == "length")
    for limit in (3, 150, 6, CHUNK, CHUNK + 1, CHUNK + 2, 512):
        generation = answer(engine, text, max_new_tokens=limit, ignore_eos=True)
        expected = answer(engines[model], text, max_new_tokens=limit, ignore_eos=True)
        assert (generation.token_ids, generation.finish_reason) == (expected.token_ids, "length")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ignore_eos", [False, True])
def test_batches_give_what_singles_give(exact, texts, answer, answers, model, ignore_eos):
    for some in (texts[::7], texts[3:35], texts[:2], texts[80:40:-3]):
        together = answers(exact[model], some, ignore_eos=ignore_eos)
        for text, generation in zip(some, together, strict=True):
            alone = answer(exact[model], text, ignore_eos=ignore_eos)
            assert (generation.token_ids, generation.text) == (alone.token_ids, alone.text)
            assert (generation.finish_reason, generation.prompt_tokens) == (
                alone.finish_reason,
                alone.prompt_tokens,
            )


@pytest.mark.parametrize("model", MODELS)
def test_a_single_answer_comes_in_chunks(tiny_bundle, exact, model):
    steps = exact[model].generate(encoded(tiny_bundle, ["The new bridge."]), Sampling(12, ignore_eos=True))
    assert [len(step.token_ids[0]) for step in steps if step.token_ids] == [1, CHUNK, 11 - CHUNK]


@pytest.mark.parametrize("method", LOSSLESS)
def test_lossless_ids_equal_those_of_the_llm(exact, texts, answer, method):
    drafted = accepted = 0
    for i, text in enumerate(texts[::4]):
        sampling = {"ignore_eos": bool(i % 2), "max_new_tokens": (24, 1, 2, 3, 40)[i % 5]}
        expected = answer(exact["llm"], text, **sampling)
        generation = answer(exact[method], text, **sampling)
        assert (generation.token_ids, generation.text) == (expected.token_ids, expected.text)
        assert (generation.finish_reason, generation.prompt_tokens) == (
            expected.finish_reason,
            expected.prompt_tokens,
        )
        drafted, accepted = drafted + generation.drafted, accepted + generation.accepted
    assert 0 < accepted < drafted


def test_engines_made_together_share_weights_and_no_caches(tiny_bundle, exact, texts):
    """Interleaved, token by token."""
    alone = {
        m: list(engine.generate(encoded(tiny_bundle, texts[:1]), Sampling(30))) for m, engine in exact.items()
    }
    running = {
        m: engine.generate(encoded(tiny_bundle, texts[:1]), Sampling(30)) for m, engine in exact.items()
    }
    together = {m: [] for m in exact}
    for _ in range(max(map(len, alone.values()))):
        for method, steps in running.items():
            together[method].extend(step for step in (next(steps, None),) if step)
    assert together == alone
    assert (
        exact["llm"].strategy.encoder
        is exact["hybrid"].strategy.encoder
        is exact["lossless"].strategy.encoder
    )
    assert exact["llm"].strategy.decoder.session is exact["lossless"].strategy.verifier.session


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_second_answer_ends_the_first(tiny_bundle, exact, texts, answer, steps):
    engine = exact["slm"]
    expected = answer(engine, texts[1], ignore_eos=True).token_ids
    first = engine.generate(encoded(tiny_bundle, texts[:1]), Sampling(30, ignore_eos=True))
    for _ in range(steps):
        next(first)
    second = engine.generate(encoded(tiny_bundle, texts[1:2]), Sampling(24, ignore_eos=True))
    steps_left = [next(second) for _ in range(3)]
    with pytest.raises(EngineError, match="one generation at a time"):
        list(first)
    steps_left.extend(second)
    assert tuple(i for step in steps_left for row in step.token_ids for i in row) == expected


def test_threads_are_those_of_the_configuration(tiny_bundle, make, answer, texts, exact, monkeypatch):
    counts = []

    class Watched(onnxruntime.InferenceSession):
        def __init__(self, model, options, **settings):
            counts.append((options.intra_op_num_threads, options.inter_op_num_threads))
            super().__init__(model, options, **settings)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Watched)
    engine = make(tiny_bundle, "hybrid", threads=2)["hybrid"]
    assert set(counts) == {(2, 1)}
    assert answer(engine, texts[70]).token_ids == answer(exact["hybrid"], texts[70]).token_ids


def test_the_models_are_let_go(tiny_zoo):
    source = ZooSource(root=tiny_zoo)
    held = source.bundle(("llm", "slm", "hybrid"))
    models = [weakref.ref(model) for model in held.models.values()]
    engines = onnx_engine.create_engines(EngineConfig(source, tuple(METHODS), options={}))
    del held
    gc.collect()
    assert [model() for model in models] == [None, None, None]
    assert list(engines) == list(METHODS)


def test_the_weights_of_a_bundle_stay_as_they_were(tiny_zoo, make, texts, answer):
    bundle = load_bundle(root=tiny_zoo)
    before = {name: tensor.clone() for name, tensor in bundle.hybrid.state_dict().items()}
    engine = make(bundle, "hybrid", dtype="int8", options={"int8_encoder": "on"})["hybrid"]
    assert engine.options == {"int8_encoder": "on"}
    answer(engine, texts[9])
    assert all(tensor.equal(before[name]) for name, tensor in bundle.hybrid.state_dict().items())


def test_a_drafter_with_other_ids_is_refused(tiny_bundle, make):
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 16, "d_ff": 16, "d_kv": 8, "num_heads": 2, "num_layers": 1}
    config = T5Config(vocab_size=400, decoder_start_token_id=0, feed_forward_proj="gated-gelu", **sizes)
    slm = T5ForConditionalGeneration(config).eval()
    bundle = replace(tiny_bundle, models={"llm": tiny_bundle.llm, "slm": slm})
    with pytest.raises(EngineError, match="The LLM has 384 ids and the slm 400"):
        make(bundle, "lossless-slm")


@pytest.mark.parametrize("version", ["1.21.1", "0.9", "1.9.0rc1"])
def test_an_old_onnxruntime_is_refused(tiny_bundle, make, monkeypatch, version):
    monkeypatch.setattr(onnxruntime, "__version__", version)
    assert f"{version} is installed; pip install --upgrade onnxruntime" in onnx_engine.unavailable_reason(CPU)
    with pytest.raises(EngineError, match=r"needs onnxruntime 1\.\d+ or later"):
        make(tiny_bundle, "slm")


def test_what_is_lacking_is_said_with_the_way_out(monkeypatch):
    assert onnx_engine.unavailable_reason(CPU) is None
    assert "use --device cpu" in onnx_engine.unavailable_reason(Device("cuda", 1))
    for version in ("1.32.0", "2.0", "1.40.0+cpu"):
        monkeypatch.setattr(onnxruntime, "__version__", version)
        assert onnx_engine.unavailable_reason(CPU) is None
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert onnx_engine.unavailable_reason(CPU).endswith("pip install onnx.")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert onnx_engine.unavailable_reason(CPU).endswith("pip install onnxruntime.")
