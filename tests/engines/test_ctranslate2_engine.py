"""CTranslate2 gives the ids of the reference in float32, for every kind of model that it reads."""

import copy
from collections import Counter

import pytest
import torch
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration

from hybrid.engines import ctranslate2_engine
from hybrid.engines.contract import EngineConfig
from hybrid.engines.ctranslate2_engine import create_engines, unavailable_reason
from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import EngineError
from hybrid.models.bundle import Bundle
from hybrid.models.sources import ZooSource
from hybrid.schema import CPU, Device, Sampling
from hybrid.suites import load_suite
from tests.bundle_source import BundleSource
from tests.engines.peers import LIMIT, absolute_pair, greedy
from tests.loaded import EN_DE, ask, encoded, prompt_ids

METHODS_HERE = ("llm", "slm")


@pytest.fixture(scope="module")
def peers(tiny_bundle):
    """CTranslate2's engines of the tiny bundle in float32."""
    pytest.importorskip("ctranslate2")
    return create_engines(EngineConfig(BundleSource(tiny_bundle), METHODS_HERE))


def test_an_answer_may_end_at_once(tiny_bundle, answer):
    """CTranslate2 by itself would write at least one token."""
    pytest.importorskip("ctranslate2")
    bundle = absolute_pair("bart", tiny_bundle.tokenizers)
    bundle.models["slm"].final_logits_bias[0, 1] = 100
    generation = answer(create_engines(EngineConfig(BundleSource(bundle), ("slm",)))["slm"], "A bridge.")
    assert (generation.token_ids, generation.finish_reason) == ((1,), "eos")


@pytest.mark.parametrize("method", METHODS_HERE)
@pytest.mark.parametrize("ignore_eos", [False, True])
def test_a_batch_gives_what_singles_give(peers, texts, answer, answers, method, ignore_eos):
    several = texts[::6][:32]
    together = answers(peers[method], several, ignore_eos=ignore_eos)
    alone = [answer(peers[method], text, ignore_eos=ignore_eos) for text in several]
    assert [generation.token_ids for generation in together] == [generation.token_ids for generation in alone]
    assert [generation.finish_reason for generation in together] == [
        generation.finish_reason for generation in alone
    ]
    assert (len({len(generation.token_ids) for generation in together}) == 1) == ignore_eos


def test_what_it_records_of_itself(peers, tiny_bundle):
    for method, engine in peers.items():
        assert (engine.method, engine.name, engine.device, engine.dtype) == (
            method, "ctranslate2-fp32", "cpu", "float32",
        )  # fmt: skip
        assert (engine.options, engine.synchronize) == ({"compute_type": "float32"}, None)
    (engine,) = create_engines(EngineConfig(BundleSource(tiny_bundle), ("slm",), dtype="int8")).values()
    assert (engine.name, engine.dtype) == ("ctranslate2", "int8")
    assert engine.options["compute_type"].startswith("int8")


def test_int8_answers_and_leaves_the_bundle_alone(tiny_bundle, peers, texts, answer):
    before = {name: tensor.clone() for name, tensor in tiny_bundle.slm.state_dict().items()}
    settings = tiny_bundle.slm.config.to_dict()
    engine = create_engines(EngineConfig(BundleSource(tiny_bundle), ("slm",), dtype="int8"))["slm"]
    rounded, exact = (
        [answer(peer, text).token_ids for text in texts[::5]] for peer in (engine, peers["slm"])
    )
    alike = sum(a[0] == b[0] for a, b in zip(rounded, exact, strict=True)) / len(rounded)
    assert 0.2 < alike < 1  # random models are never sure, so that rounding shows
    after = tiny_bundle.slm.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert tiny_bundle.slm.config.to_dict() == settings


def _t5(tiny_bundle, kind, head):
    """A random model in the place of the LLM; `head`: tied, or an output matrix of its own."""
    torch.manual_seed(5)
    config_class, model_class, forward = {
        "t5-relu": (T5Config, T5ForConditionalGeneration, "relu"),
        "t5-gated-gelu": (T5Config, T5ForConditionalGeneration, "gated-gelu"),
        "mt5-gated-gelu": (MT5Config, MT5ForConditionalGeneration, "gated-gelu"),
    }[kind]
    config = config_class(
        vocab_size=400, d_model=32, d_ff=64, d_kv=16, num_heads=2, num_layers=2, feed_forward_proj=forward,
        decoder_start_token_id=0, tie_word_embeddings=head == "tied",
    )  # fmt: skip
    model = model_class(config).eval()
    if head == "own":
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.uniform_(0.5, 1.5)
            else:
                weight.normal_(std=2 * weight.shape[1] ** -0.5)
        model.shared.weight.normal_(std=0.3)
    assert (model.lm_head.weight is model.shared.weight) == (head == "tied")
    return Bundle(kind, {"max_prompt_tokens": LIMIT}, tiny_bundle.tokenizers, {"llm": model})


@pytest.mark.parametrize("head", ["tied", "own"])
@pytest.mark.parametrize("kind", ["t5-relu", "t5-gated-gelu", "mt5-gated-gelu"])
def test_every_t5_runs(tiny_bundle, texts, answer, kind, head):
    """Also with more ids than the tokenizer has tokens."""
    pytest.importorskip("ctranslate2")
    bundle = _t5(tiny_bundle, kind, head)
    engine = create_engines(EngineConfig(BundleSource(bundle), ("llm",)))["llm"]
    several = texts[::40]
    expected = [greedy(bundle.llm, prompt_ids(bundle, text), 24, None) for text in several]
    assert [answer(engine, text, ignore_eos=True).token_ids for text in several] == expected
    assert len({token for ids in expected for token in ids}) > 10  # else the test would show little


def test_an_answer_beyond_the_positions_is_refused(tiny_bundle, texts, answer):
    pytest.importorskip("ctranslate2")
    bundle = absolute_pair("bart", tiny_bundle.tokenizers)
    engine = create_engines(EngineConfig(BundleSource(bundle), ("slm",)))["slm"]
    with pytest.raises(EngineError, match=r"bart has positions for 256 tokens; an answer would take 257\."):
        answer(engine, texts[0], max_new_tokens=257)


@pytest.mark.parametrize("kind", ["bart", "marian"])
@pytest.mark.parametrize("ignore_eos", [False, True])
def test_bart_and_marian_run(tiny_bundle, texts, answer, answers, kind, ignore_eos):
    pytest.importorskip("ctranslate2")
    bundle, several, written = absolute_pair(kind, tiny_bundle.tokenizers), texts[40::40], set()
    for method, engine in create_engines(EngineConfig(BundleSource(bundle), METHODS_HERE)).items():
        stop = None if ignore_eos else 1
        expected = [greedy(bundle.model(method), prompt_ids(bundle, t), 24, stop) for t in several]
        assert [answer(engine, text, ignore_eos=ignore_eos).token_ids for text in several] == expected
        assert [
            generation.token_ids for generation in answers(engine, several, ignore_eos=ignore_eos)
        ] == expected
        written |= {token for ids in expected for token in ids}
    assert len(written) > 5  # else the test would show little


def test_log_probabilities_are_those_of_the_model(tiny_bundle, peers, texts):
    """What greedy ids do not show: the scale of a tied head."""
    for method, engine in peers.items():
        model, prompt = tiny_bundle.model(method), prompt_ids(tiny_bundle, texts[120])
        (result,) = engine._model.translate_batch(
            [[str(token) for token in prompt]], beam_size=1, max_decoding_length=6, end_token=[],
            return_scores=True, length_penalty=0, max_input_length=0, min_decoding_length=0,
        )  # fmt: skip
        ids = [int(token) for token in result.hypotheses[0]]
        with torch.no_grad():
            logits = model(
                input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[0, *ids[:-1]]])
            ).logits[0]
        expected = sum(float(row.log_softmax(-1)[i]) for row, i in zip(logits, ids, strict=True))
        assert result.scores[0] == pytest.approx(expected, rel=1e-4)


def test_closing_ends_the_translation_in_the_middle(tiny_bundle, peers, engines, texts, answer, monkeypatch):
    steps_told, translate = [], ctranslate2_engine.CTranslate2Engine._answer

    def watched(self, tokens, sampling, tell):
        def counting(result):
            steps_told.append(result.step)
            return tell(result)

        translate(self, tokens, sampling, counting)

    monkeypatch.setattr(ctranslate2_engine.CTranslate2Engine, "_answer", watched)
    steps = peers["slm"].generate(encoded(tiny_bundle, ["A bridge."]), Sampling(100_000, ignore_eos=True))
    while next(steps).phase != "prefill":
        pass
    steps.close()
    done = len(steps_told)
    assert 1 <= done < 100_000
    assert len(steps_told) == done  # nothing goes on behind our back
    monkeypatch.undo()
    assert answer(peers["slm"], texts[0]).token_ids == answer(engines["slm"], texts[0]).token_ids


def test_an_error_inside_comes_out(tiny_bundle, peers):
    engine = copy.copy(peers["slm"])
    engine._model = None
    with pytest.raises(AttributeError, match="translate_batch"):
        list(engine.generate(encoded(tiny_bundle, ["A bridge."]), Sampling()))


def test_where_it_cannot_run(monkeypatch):
    assert unavailable_reason(Device("cuda", 1)) == (
        "The engine ctranslate2 runs on the CPU only, not on 'cuda:1'; choose --device cpu."
    )
    monkeypatch.setattr(ctranslate2_engine, "find_spec", lambda name: None)
    assert unavailable_reason(CPU) == (
        "The package ctranslate2 is not installed; pip install 'hybrid-bench[peers]' brings it."
    )
    monkeypatch.setattr(ctranslate2_engine, "find_spec", lambda name: name)
    assert unavailable_reason(CPU) is None


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", METHODS_HERE)
def test_the_bundled_pair_answers_as_the_reference(method):
    """On 50 sentences: the same ids in float32, one at a time and in a batch; much the same words in int8."""
    pytest.importorskip("ctranslate2")
    source, suite = ZooSource(EN_DE), load_suite("everyday-en-de@1")
    texts = [example.source for example in suite.examples[:50]]
    reference = TorchEngine(source.bundle([method]), method)
    exact, int8 = (
        create_engines(EngineConfig(source, (method,), dtype=dtype))[method] for dtype in ("float32", "int8")
    )
    generations, expected, rough = (
        [ask(engine, source, suite.task, [text], Sampling())[0] for text in texts]
        for engine in (exact, reference, int8)
    )
    assert [generation.token_ids for generation in generations] == [
        generation.token_ids for generation in expected
    ]
    batch = ask(exact, source, suite.task, texts[:32], Sampling())
    assert [generation.token_ids for generation in batch] == [
        generation.token_ids for generation in expected[:32]
    ]
    words = [(Counter(a.text.split()), Counter(b.text.split())) for a, b in zip(rough, expected, strict=True)]
    share = sum((a & b).total() for a, b in words) / sum(b.total() for _, b in words)
    print(f"\nctranslate2 {method}: {share:.0%} of the words are those of float32")  # noqa: T201
    assert share > 0.8
