"""BART, Marian, T5Gemma, Flan-T5 and mT5 give transformers' ids and logits: alone, in batches, losslessly."""

from dataclasses import replace

import pytest
import torch

from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import EngineError
from hybrid.models.architectures import decoder_of, sizes_of
from hybrid.models.pair import Hybrid
from hybrid.schema import METHODS, MODELS
from tests.engines import families
from tests.engines.conftest import NEW_TOKENS
from tests.engines.encoder_decoders import VARIANTS, bart, marian, random_model, t5gemma
from tests.loaded import prompt_ids

T5S = ("flan-t5", "mt5")  # which t5.py covers


@pytest.fixture(scope="module", params=[*VARIANTS, *T5S])
def bundle(request, tiny_bundle):
    """Two models of one family."""
    llm, slm = (model_of(request.param, width, seed) for width, seed in ((48, 7), (32, 8)))
    return replace(tiny_bundle, models={"llm": llm, "slm": slm})


def model_of(name: str, width: int, seed: int):
    if name in T5S:
        return families.random_model(width, seed, **families.FAMILIES[name])
    return random_model(VARIANTS[name](width), seed)


@pytest.fixture(scope="module")
def expected(bundle, texts):
    """What generate() writes, greedy, without what is never written."""
    return generated(bundle.llm, [prompt_ids(bundle, text) for text in texts])


def generated(model, prompts, **settings) -> list[list[int]]:
    width, never = max(map(len, prompts)), sizes_of(model.config).never
    rows = model.generate(
        input_ids=torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts]),
        attention_mask=torch.tensor([[1] * len(p) + [0] * (width - len(p)) for p in prompts]),
        max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1, pad_token_id=0,
        suppress_tokens=None if never is None else [never], **settings,
    )[:, 1:].tolist()  # fmt: skip
    return [row[: row.index(1) + 1] if 1 in row else row for row in rows]


def test_200_prompts_alone_and_as_a_batch_equal_generate(bundle, texts, answer, answers, expected):
    engine = TorchEngine(bundle, "llm")
    together = answers(engine, texts)
    for text, ids, batched in zip(texts, expected, together, strict=True):
        prompt = prompt_ids(bundle, text)
        assert same(bundle.llm, prompt, answer(engine, text).token_ids, ids)
        assert same(bundle.llm, prompt, batched.token_ids, ids)
    assert len({tuple(ids) for ids in expected}) > 20
    some_end = len({len(ids) for ids in expected}) > 2
    assert some_end or bundle.llm.config.model_type == "mt5"


def test_cached_equals_uncached(bundle, texts, expected):
    some = [prompt_ids(bundle, text) for text in texts[::50]]
    assert generated(bundle.llm, some, use_cache=False) == expected[::50]


def test_lossless_methods_equal_the_llm(bundle, texts, answer):
    llm = TorchEngine(bundle, "llm")
    for method in METHODS:
        if method in MODELS or "hybrid" in METHODS[method].models:
            continue
        engine = TorchEngine(bundle, method)
        for text in texts[5::40]:
            assert answer(engine, text).token_ids == answer(llm, text).token_ids


def test_logits_equal_transformers(bundle, texts, answer):
    """Not only their order: caps, biases and scales of the head as well."""
    engine, prompt = TorchEngine(bundle, "llm"), prompt_ids(bundle, texts[150])
    generation = answer(engine, texts[150], max_new_tokens=4, ignore_eos=True)
    logits = logits_after(bundle.llm, prompt, generation.token_ids[:3])
    if (never := sizes_of(bundle.llm.config).never) is not None:
        logits[never] = -torch.inf
    torch.testing.assert_close(engine.strategy.decoder.single.logits[0], logits, rtol=1e-3, atol=1e-3)


def test_a_hybrids_t5gemma_attends_to_prompts_longer_than_its_window(tiny_bundle, texts, answer):
    hybrid = Hybrid.from_parts(*(random_model(t5gemma(32, decoder={"sliding_window": 8}), n) for n in (1, 2)))
    engine = TorchEngine(replace(tiny_bundle, models={"hybrid": hybrid.eval()}), "hybrid")
    for text in (texts[30], texts[190]):
        ids = torch.tensor([prompt_ids(tiny_bundle, text)])
        written = hybrid.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        assert ids.shape[1] > 8
        assert (
            list(answer(engine, text, max_new_tokens=8, ignore_eos=True).token_ids) == written[0, 1:].tolist()
        )


@pytest.mark.parametrize("family", ["bart", "marian"])
def test_prompts_and_answers_beyond_the_positions_are_refused(tiny_bundle, texts, answer, answers, family):
    model = random_model({"bart": bart, "marian": marian}[family](32, max_position_embeddings=20), 1)
    engine = TorchEngine(replace(tiny_bundle, models={"slm": model}), "slm")
    with pytest.raises(EngineError, match=r"positions for 20 tokens; a prompt would take .*shorter prompt\."):
        answer(engine, texts[-1], max_new_tokens=2)
    for short in ([texts[0]], texts[:2]):
        with pytest.raises(EngineError, match=r"20 tokens; an answer would take 21\. Give fewer new tokens"):
            answers(engine, short, max_new_tokens=21)
    assert len(answer(engine, texts[0], max_new_tokens=20, ignore_eos=True).token_ids) == 20


def logits_after(model, prompt, answer) -> torch.Tensor:
    start = decoder_of(model).start
    with torch.no_grad():
        return model(
            input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[start, *answer]])
        ).logits[0, -1]


def same(model, prompt, first, second) -> bool:
    """Equal ids, or parted where both logits are equal within 1e-3."""
    if list(first) == list(second):
        return True
    place = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    logits = logits_after(model, prompt, first[:place])
    return bool((logits[first[place]] - logits[second[place]]).abs() < 1e-3)
