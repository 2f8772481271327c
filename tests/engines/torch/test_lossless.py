"""Lossless methods of the torch engine: the LLM's ids, whoever drafts, and Steps that say how they came."""

import copy
import gc
import weakref
from dataclasses import replace

import pytest
import torch

from hybrid.engines import decoding
from hybrid.engines.contract import EngineConfig
from hybrid.engines.torch.engine import TorchEngine, create_engines
from hybrid.errors import EngineError
from hybrid.measuring.answers import warm_up
from hybrid.models.bundle import load_bundle
from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.models.sources import ZooSource
from hybrid.schema import METHODS, MODELS, Device, Sampling
from tests.bundle_source import BundleSource
from tests.loaded import encoded, loaded, prompt_ids


class WatchedEncoder:
    """Notes each call of the encoder that it stands for."""

    def __init__(self, encoder, calls: list) -> None:
        self.encoder, self.calls, self.embeddings = encoder, calls, encoder.embeddings

    def __call__(self, *given):
        self.calls.append(len(self.calls))
        return self.encoder(*given)


LOSSLESS = tuple(method for method in METHODS if method not in MODELS)


@pytest.fixture(scope="module")
def lossless(tiny_bundle) -> dict[str, TorchEngine]:
    return {method: TorchEngine(tiny_bundle, method) for method in LOSSLESS}


@pytest.fixture(scope="module")
def agreeing(tiny_bundle) -> dict[str, TorchEngine]:
    """Engines whose SLM is the LLM itself, unchanged or with some noise: it agrees always, or often."""
    by_name = {}
    for name, noise in (("always", 0.0), ("often", 0.005)):
        slm = copy.deepcopy(tiny_bundle.llm)
        torch.manual_seed(3)
        with torch.no_grad():
            for weight in slm.parameters():
                weight += noise * weight.std() * torch.randn_like(weight)
        by_name[name] = TorchEngine(
            replace(tiny_bundle, models={"llm": tiny_bundle.llm, "slm": slm}), "lossless-slm"
        )
    return by_name


@pytest.mark.parametrize("method", LOSSLESS)
def test_ids_equal_those_of_the_llm(engines, lossless, texts, answer, method):
    for i, text in enumerate(texts[::4]):
        sampling = {"ignore_eos": bool(i % 2), "max_new_tokens": (24, 1, 2, 3, 40)[i % 5]}
        expected = answer(engines["llm"], text, **sampling)
        generation = answer(lossless[method], text, **sampling)
        assert (generation.token_ids, generation.text) == (expected.token_ids, expected.text)
        assert (generation.finish_reason, generation.prompt_tokens) == (
            expected.finish_reason,
            expected.prompt_tokens,
        )


@pytest.mark.parametrize("name", ["always", "often"])
@pytest.mark.parametrize("ignore_eos", [False, True])
def test_ids_equal_with_a_drafter_that_agrees(
    engines, agreeing, texts, answer, monkeypatch, name, ignore_eos
):
    monkeypatch.setattr("hybrid.engines.torch.decoder.MIN_DRAFT_PROBABILITY", 0.0)
    generations = [answer(agreeing[name], text, ignore_eos=ignore_eos) for text in texts[::4]]
    expected = [answer(engines["llm"], text, ignore_eos=ignore_eos) for text in texts[::4]]
    assert [generation.token_ids for generation in generations] == [
        generation.token_ids for generation in expected
    ]
    drafted, accepted = (
        sum(getattr(generation, field) for generation in generations) for field in ("drafted", "accepted")
    )
    assert drafted > 0
    assert accepted == drafted if name == "always" else 0.1 * drafted < accepted < drafted


def test_ids_equal_assisted_generation(lossless, tiny_bundle, texts, answer):
    model, assistant = tiny_bundle.llm, tiny_bundle.slm
    for text in texts[:100:10]:
        ids = torch.tensor([prompt_ids(tiny_bundle, text)])
        settings = {"max_new_tokens": 24, "do_sample": False}
        by_slm = model.generate(ids, assistant_model=assistant, **settings)[0, 1:].tolist()
        by_lookup = model.generate(ids, prompt_lookup_num_tokens=3, **settings)[0, 1:].tolist()
        assert list(answer(lossless["lossless-slm"], text).token_ids) == by_slm
        assert list(answer(lossless["lossless-lookup"], text).token_ids) == by_lookup


@pytest.mark.parametrize("method", LOSSLESS)
def test_steps_come_in_order_and_say_what_they_know(tiny_bundle, lossless, texts, method):
    prompts = encoded(tiny_bundle, texts[100:101])
    steps = list(lossless[method].generate(prompts, Sampling(9, ignore_eos=True)))
    reads = {"lossless": ["project", "draft"], "lossless-slm": ["encode", "draft"]}.get(method, [])
    pairs, rest = divmod(len(steps) - 2 - len(reads), 2)
    assert rest == 0
    assert [step.phase for step in steps] == [
        "encode", *reads, "prefill", *["draft", "verify"] * pairs,
    ]  # fmt: skip
    assert sum(len(ids) for step in steps for ids in step.token_ids) == 9
    for step in steps:
        verified = step.phase == "verify" or (step.phase == "prefill" and method != "lossless-lookup")
        assert (len(step.drafted), len(step.accepted)) == ((1, 1) if verified else (0, 0))
        assert len(step.token_ids) == (step.phase in ("prefill", "verify"))


def test_the_llms_encoder_reads_once(tiny_bundle, lossless, texts, monkeypatch):
    """The hybrid drafts from the very states that the LLM verifies over."""
    engine = lossless["lossless"]
    reads, encoder = [], engine.strategy.encoder
    read = encoder.encoder
    monkeypatch.setattr(encoder, "encoder", WatchedEncoder(read, reads))
    list(engine.generate(encoded(tiny_bundle, texts[:1]), Sampling(9)))
    assert reads == [0]


@pytest.mark.parametrize(("method", "model"), [("lossless", "hybrid"), ("lossless-slm", "slm")])
def test_drafts_are_what_the_drafting_model_says(
    lossless, tiny_bundle, texts, answer, monkeypatch, method, model
):
    """After whatever the LLM has written, and with nothing left of drafts that were rejected."""
    monkeypatch.setattr("hybrid.engines.torch.decoder.MIN_DRAFT_PROBABILITY", 0.0)
    drafts, propose = [], decoding.DecoderDrafter.propose

    def watched(self, written, count):
        drafts.append((list(written), propose(self, written, count)))
        return drafts[-1][1]

    monkeypatch.setattr(decoding.DecoderDrafter, "propose", watched)
    for text in texts[::50]:
        drafts.clear()
        answer(lossless[method], text)
        ids = torch.tensor([prompt_ids(tiny_bundle, text)])
        for written, drafted in drafts:
            inputs = torch.tensor([[0, *written, *drafted[:-1]]])
            with torch.no_grad():
                logits = tiny_bundle.model(model)(input_ids=ids, decoder_input_ids=inputs).logits[0]
            assert logits.argmax(-1)[-len(drafted) :].tolist() == drafted


def test_a_drafter_with_other_ids_is_refused(tiny_bundle):
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=400, d_model=8, d_ff=8, d_kv=4, num_heads=2, num_layers=1, decoder_start_token_id=0
    )
    models = {"llm": tiny_bundle.llm, "slm": T5ForConditionalGeneration(config)}
    with pytest.raises(EngineError, match="The LLM has 384 ids and the slm 400"):
        TorchEngine(replace(tiny_bundle, models=models), "lossless-slm")


def test_bfloat16_and_warm_up_run(tiny_bundle, texts, answer):
    for method in LOSSLESS:
        engine = TorchEngine(tiny_bundle, method, dtype=torch.bfloat16)
        warm_up(loaded(engine, tiny_bundle), "summarize")
        assert len(answer(engine, texts[7], ignore_eos=True).token_ids) == 24


def test_engines_of_one_order_share_what_reads_and_answer_as_each_alone(tiny_bundle, engines, texts, answer):
    together = create_engines(EngineConfig(BundleSource(tiny_bundle), tuple(METHODS)))
    assert list(together) == list(METHODS)
    readers = {id(together[method].strategy.encoder.encoder) for method in METHODS if method != "slm"}
    assert len(readers) == 1  # the LLM's encoder, once
    decoders = [together["llm"].strategy.decoder.single]
    decoders += [together[method].strategy.verifier for method in LOSSLESS]
    assert len({id(decoder.head) for decoder in decoders}) == 2  # for one row at a time, and for several
    assert len({id(decoder.layers[0].self_kv_cache) for decoder in decoders}) == 4
    for text in texts[::40]:
        for method, engine in together.items():
            expected = engines[method if method in MODELS else "llm"]
            assert answer(engine, text).token_ids == answer(expected, text).token_ids


def test_generations_of_engines_made_together_do_not_disturb_each_other(tiny_bundle, texts, answer):
    together = create_engines(EngineConfig(BundleSource(tiny_bundle), tuple(METHODS)))
    expected = {method: answer(engine, texts[80], ignore_eos=True) for method, engine in together.items()}
    prompts = encoded(tiny_bundle, texts[80:81])
    running = {m: e.generate(prompts, Sampling(24, ignore_eos=True)) for m, e in together.items()}
    ids = {method: [] for method in METHODS}
    while running:
        for method, steps in list(running.items()):
            if (step := next(steps, None)) is None:
                del running[method]
            else:
                ids[method] += [i for row in step.token_ids for i in row]
    assert {method: tuple(written) for method, written in ids.items()} == {
        method: generation.token_ids for method, generation in expected.items()
    }


def test_the_models_are_gone_once_their_weights_are_packed(tiny_zoo, texts, answer):
    """Else a pair would be in memory twice."""
    bundles, modules = [], []

    class Watched(ZooSource):
        def bundle(self, models):
            bundle = load_bundle("tiny", tiny_zoo, models=models)
            bundles.append(weakref.ref(bundle))
            modules.extend(weakref.ref(m) for model in bundle.models.values() for m in model.modules())
            return bundle

    gc.disable()
    try:
        engines = create_engines(EngineConfig(Watched("tiny", tiny_zoo), tuple(METHODS)))
    finally:
        gc.enable()
    assert len(modules) > 100
    assert [reference() for reference in bundles] == [None]
    assert [reference() for reference in modules if reference() is not None] == []
    assert len({answer(engines[method], texts[3], max_new_tokens=200).token_ids for method in LOSSLESS}) == 1


@pytest.mark.gpu
def test_a_gpu_gives_the_ids_of_the_llm(tiny_bundle, engines, texts, answer):
    for method in LOSSLESS:
        exact = TorchEngine(tiny_bundle, method, device=Device("cuda"), dtype=torch.float32)
        brief = TorchEngine(tiny_bundle, method, device=Device("cuda"))
        for text in texts[::10]:
            assert answer(exact, text).token_ids == answer(engines["llm"], text).token_ids
            assert len(answer(brief, text, ignore_eos=True).token_ids) == 24


def test_a_pair_with_a_hybrid_alone_keeps_its_llm(tiny_bundle):
    """The hybrid of a bundle may read with another LLM than the bundle's own."""
    hybrid = HybridForConditionalGeneration.from_parts(copy.deepcopy(tiny_bundle.llm), tiny_bundle.slm)
    bundle = replace(tiny_bundle, models={"llm": tiny_bundle.llm, "hybrid": hybrid})
    both = create_engines(EngineConfig(BundleSource(bundle), ("llm", "hybrid")))
    assert both["llm"].strategy.encoder.encoder is not both["hybrid"].strategy.encoder.encoder
