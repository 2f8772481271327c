"""Random pairs: built as trained ones are, in the wanted precision, and they answer."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from hybrid.errors import InputError, PairError
from hybrid.models.known_shapes import published_shapes
from hybrid.models.prompts import TextCodec
from hybrid.models.random_pair import (
    BLOCK,
    EOS,
    TASK,
    RandomWeights,
    empty_model,
    random_model,
    random_pair,
    word_prompts,
    word_tokenizer,
)
from hybrid.models.shapes import Shape
from hybrid.schema import TASKS, Sampling
from tests.loaded import ask

ALL = ("llm", "slm", "hybrid")


def shape(name: str, **sizes: object) -> Shape:
    """A small T5 v1.1; `sizes` make it another."""
    own: dict = {
        "family": "t5", "d_model": 64, "d_ff": 96, "heads": 2, "d_kv": 32, "encoder_layers": 2,
        "decoder_layers": 2, "vocabulary": 500, "feed_forward": "gated-gelu", "tied_head": False,
        "positions": None, "parameters": 0, "source": "made up",
    }  # fmt: skip
    return Shape(name, **own | sizes)


LLM = shape("llm-64", vocabulary=600)
SLM = shape("slm-32", d_model=32, d_ff=64, heads=1, encoder_layers=1, decoder_layers=1)
KINDS = {
    "t5 v1.0": shape("first", feed_forward="relu", tied_head=True),
    "t5 v1.1": shape("second"),
    "tied": shape("tied", tied_head=True),
    "mt5": shape("many", family="mt5"),
    "bart": shape("bart", family="bart", feed_forward="gelu", tied_head=True, positions=64),
    "marian": shape("marian", family="marian", feed_forward="swish", tied_head=True, positions=64),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_activations_are_finite(kind: str, dtype: torch.dtype) -> None:
    model = random_model(KINDS[kind], RandomWeights(500, dtype=dtype))
    ids = torch.arange(3, 43)[None]
    with torch.no_grad():
        out = model(input_ids=ids, decoder_input_ids=ids, output_hidden_states=True)
    assert out.logits.dtype == dtype
    for states in (out.logits, *out.encoder_hidden_states, *out.decoder_hidden_states):
        assert states.isfinite().all()
    assert out.logits.float().std() > 0.1  # not all the same either


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_there_and_the_head_is_tied_as_the_shape_says(kind: str) -> None:
    model = random_model(KINDS[kind], RandomWeights(500))
    assert not [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    model.tie_weights()  # an engine, or a save, may ask for it
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert tied == KINDS[kind].tied_head
    expected = sum(p.numel() for p in empty_model(KINDS[kind]).parameters())
    assert sum(p.numel() for p in model.parameters()) == expected


def test_depth_keeps_activations_finite_in_half_precision() -> None:
    model = random_model(
        shape("deep", encoder_layers=24, decoder_layers=24), RandomWeights(500, dtype=torch.float16)
    )
    ids = torch.arange(3, 43)[None]
    with torch.no_grad():
        assert model(input_ids=ids, decoder_input_ids=ids).logits.isfinite().all()


def test_no_two_rows_of_a_large_matrix_are_alike() -> None:
    wide = shape("wide", d_model=1024, vocabulary=4000)  # longer than the block of noise
    weight = random_model(wide, RandomWeights(4000)).get_input_embeddings().weight
    assert weight.numel() > 3 * BLOCK
    assert len(torch.unique(weight[:, :4], dim=0)) == len(weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_hybrid_reads_with_the_llms_own_encoder(dtype: torch.dtype) -> None:
    bundle = random_pair(LLM, SLM, RandomWeights(500, dtype=dtype)).bundle(ALL)
    own = {p.data_ptr() for p in bundle.llm.parameters()}
    hybrid = bundle.hybrid
    assert {p.data_ptr() for p in hybrid.llm.parameters()} <= own
    assert not {p.data_ptr() for p in hybrid.slm.parameters()} & {
        p.data_ptr() for p in bundle.slm.parameters()
    }
    assert {p.dtype for p in hybrid.parameters()} == {dtype}
    assert (hybrid.projector.up.in_features, hybrid.projector.up.out_features) == (64, 32)
    assert hybrid.config.fusion == "add"


def test_a_hybrid_built_alone_is_the_same_hybrid() -> None:
    alone = random_pair(LLM, SLM).bundle(["hybrid"])
    assert set(alone.models) == {"hybrid"}
    assert not [name for name, p in alone.hybrid.named_parameters() if p.is_meta]
    ids = torch.arange(3, 12)[None]
    with torch.no_grad():
        states = [b.hybrid.encode(ids) for b in (alone, random_pair(LLM, SLM).bundle(ALL))]
    assert torch.equal(*states)


@pytest.mark.parametrize("llm", ["bart", "marian", "mt5"])
@pytest.mark.parametrize("slm", ["bart", "t5 v1.0"])
def test_hybrids_across_families(llm: str, slm: str) -> None:
    hybrid = random_pair(KINDS[llm], KINDS[slm]).bundle(ALL).hybrid
    generated = hybrid.generate(
        torch.arange(3, 12)[None], max_new_tokens=4, min_new_tokens=4, do_sample=False
    )
    assert generated.shape == (1, 5)


def test_ids_stay_below_the_smaller_vocabulary() -> None:
    source = random_pair(LLM, SLM)
    bundle = source.bundle(ALL)
    tokenizer = source.codec("llm").reader
    assert len(tokenizer) == SLM.vocabulary < LLM.vocabulary
    ids = torch.tensor(
        [p.token_ids for p in TextCodec(tokenizer, 512).encode(TASK, word_prompts(500, 20, 8))]
    )
    assert ids.max() < SLM.vocabulary
    for model in (bundle.llm, bundle.slm, bundle.hybrid):
        generated = model.generate(ids, max_new_tokens=16, do_sample=False, eos_token_id=None)
        assert generated.max() < SLM.vocabulary


@pytest.mark.parametrize("tokens", [3, 4, 17, 512])
def test_prompts_have_exactly_so_many_tokens(tokens: int) -> None:
    tokenizer = word_tokenizer(500)
    prompts = word_prompts(500, tokens, 3)
    assert len(set(prompts)) == 3
    for prompt in TextCodec(tokenizer, 512).encode(TASK, prompts):
        assert len(prompt.token_ids) == tokens
        assert prompt.token_ids[-1] == EOS
        assert tokenizer.unk_token_id not in prompt.token_ids
        assert not prompt.truncated


def test_prompts_come_again_with_their_seed() -> None:
    assert word_prompts(500, 9, 2, seed=4) == word_prompts(500, 9, 2, seed=4)
    assert word_prompts(500, 9, 2, seed=4) != word_prompts(500, 9, 2, seed=5)


def test_prefixes_of_all_tasks_are_words() -> None:
    tokenizer = word_tokenizer(500)
    for task in TASKS.values():
        assert tokenizer.unk_token_id not in tokenizer.encode(task.prefix)


def test_prompt_without_room_for_a_word() -> None:
    with pytest.raises(InputError, match="A prompt of 2 tokens has no room for a word; take 3 or more"):
        word_prompts(500, 2, 1)


def test_vocabulary_without_room_for_a_word() -> None:
    with pytest.raises(PairError, match="A vocabulary of 5 ids is too small"):
        random_pair(LLM, shape("few", vocabulary=5))


def test_models_are_held_weakly_and_shared_while_held() -> None:
    held: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
    make = RandomWeights(500, held=held)
    first, second = random_pair(LLM, SLM, make), random_pair(LLM, KINDS["tied"], make)
    bundle = first.bundle(["llm"])
    assert first.bundle(["llm"]) is bundle
    assert second.bundle(["llm", "slm"]).llm is bundle.llm
    larger = first.bundle(["slm"])
    assert larger.llm is bundle.llm
    namesake = random_pair(replace(LLM, encoder_layers=1), SLM, make).bundle(["llm"])  # shapes, not names
    assert len(namesake.llm.get_encoder().block) == 1
    del bundle, larger, namesake
    gc.collect()
    assert list(held) == []


def test_random_weights_have_no_hash() -> None:
    source = random_pair(LLM, SLM)
    assert source.weights_sha256("llm") is None
    assert source.name == "llm-64+slm-32"


def test_engines_answer_unchanged() -> None:
    from hybrid.engines.torch.engine import TorchEngine

    bundle = random_pair(LLM, SLM, RandomWeights(500, max_prompt_tokens=24)).bundle(ALL)
    texts = word_prompts(500, 24, 2)
    for model in ALL:
        engine = TorchEngine(bundle, model)
        answers = ask(engine, bundle, TASK, texts, Sampling(9, ignore_eos=True))
        assert [(a.prompt_tokens, len(a.token_ids)) for a in answers] == [(24, 9)] * 2


# One published model of each family, made small.
FAMILIES = {
    "t5gemma": "t5gemma-s-s", "gpt2": "gpt2", "gpt_neox": "pythia-70m", "llama": "smollm2-135m",
    "qwen2": "qwen2.5-0.5b", "qwen3": "qwen3-0.6b", "gemma3_text": "gemma-3-270m", "marian": "opus-mt-en-de",
}  # fmt: skip


@pytest.mark.parametrize(("llm", "slm"), [
    ("llama", "gpt2"), ("gpt2", "marian"), ("qwen3", "gemma3_text"), ("gemma3_text", "t5gemma"),
    ("t5gemma", "qwen2"), ("gpt_neox", "llama"), ("marian", "gpt_neox"),
])  # fmt: skip
def test_pairs_of_any_families_answer_alike_in_both_engines(llm: str, slm: str) -> None:
    from hybrid.engines import transformers_engine
    from hybrid.engines.contract import EngineConfig
    from hybrid.engines.torch import engine as torch_engine

    source = random_pair(*(small(published_shapes()[FAMILIES[name]]) for name in (llm, slm)))
    config, texts = EngineConfig(source, ALL), word_prompts(500, 12, 2)
    engines = [module.create_engines(config) for module in (torch_engine, transformers_engine)]
    for model in ALL:
        answers = [ask(by[model], source, TASK, texts, Sampling(6, ignore_eos=True)) for by in engines]
        first, second = ([answer.token_ids for answer in of_engine] for of_engine in answers)
        assert first == second
        assert engines[0][model].options == {}


def small(shape: Shape) -> Shape:
    sizes = {"d_model": 32, "d_ff": 64, "heads": 2, "d_kv": 16, "decoder_layers": 2, "vocabulary": 500}
    encoder = {} if shape.decoder_only else {"encoder_layers": 2}
    return replace(shape, **sizes | encoder, key_value_heads=1 if shape.key_value_heads else None)
