"""What the tests of the engines share: tiny engines, many prompts, and transformers' own answers."""

import random
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from hybrid.engines.torch.engine import TorchEngine
from hybrid.measuring import settled_heap
from hybrid.models.bundle import Bundle
from hybrid.schema import SYSTEMS, Generation, Sampling, System
from tests.loaded import ask as asked
from tests.models.tiny import tiny_model

PROMPTS = 200
NEW_TOKENS = 24
SENTENCE = (
    "the committee agreed that a new bridge over river should be opened before winter and all "
    "27 members of it paid $3,000 to Frau Müller; große Häuser, naïve idea: (see below) <b>"
)
Ids = Sequence[int]


@pytest.fixture(scope="module", autouse=True)
def _settled() -> Iterator[None]:
    """Measuring collects garbage before each answer: 0.2 seconds, were libraries and models not left out."""
    with settled_heap():
        yield


@pytest.fixture(scope="session")
def engines(tiny_bundle) -> dict[System, TorchEngine]:
    return {system: TorchEngine(tiny_bundle, system) for system in SYSTEMS}


@pytest.fixture(scope="session")
def tiny_decoders(tiny_bundle) -> Bundle:
    """A pair of decoder-only models, a Llama and a GPT-2, with the tokenizer of the tiny bundle."""
    vocabulary = len(tiny_bundle.tokenizers["llm"])
    models = {
        "llm": tiny_model("llama", 64, seed=4, vocab_size=vocabulary),
        "slm": tiny_model("gpt2", 32, layers=2, seed=5, vocab_size=vocabulary),
    }
    with torch.no_grad():
        for model in models.values():
            model.get_output_embeddings().weight[1] *= 2.0  # else no answer ends
    return Bundle("decoders", {"max_prompt_tokens": 160}, tiny_bundle.tokenizers, models)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Prompts of 1 to 40 words, the longest beyond 128 tokens."""
    rng = random.Random(0)
    return [" ".join(rng.choices(SENTENCE.split(), k=1 + i * 40 // PROMPTS)) for i in range(PROMPTS)]


@pytest.fixture(scope="session")
def answers(tiny_bundle) -> Callable[..., tuple[Generation, ...]]:
    """answers(engine, texts, task, **sampling): what the engine makes of several texts at once."""

    def ask(engine: TorchEngine, texts: Sequence[str], task: str = "summarize", **sampling):
        sampling = {"max_new_tokens": NEW_TOKENS} | sampling
        return asked(engine, tiny_bundle, task, texts, Sampling(**sampling))

    return ask


@pytest.fixture(scope="session")
def answer(answers) -> Callable[..., Generation]:
    """answer(engine, text, task, **sampling): the same for one text alone."""

    def ask(engine: TorchEngine, text: str, *task: str, **sampling) -> Generation:
        (generation,) = answers(engine, [text], *task, **sampling)
        return generation

    return ask


@pytest.fixture(scope="session")
def reference() -> Callable[..., list[list[int]]]:
    """reference(model, prompts): ids of transformers' greedy generate(), the end-of-sequence id included."""

    def ask(model, prompts: Sequence[Ids], max_new_tokens: int = NEW_TOKENS) -> list[list[int]]:
        width = max(map(len, prompts))
        ids = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts])
        mask = torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts])
        generated = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1
        )
        # A decoder-only model goes on with its prompt, here one alone.
        start = 1 if model.config.is_encoder_decoder else width
        rows = [row[start:].tolist() for row in generated]
        return [row[: row.index(1) + 1] if 1 in row else row for row in rows]

    return ask


@pytest.fixture(scope="session")
def same() -> Callable[..., bool]:
    """same(model, prompt, one, other): equal ids, or parted where both logits are equal within 1e-4."""

    def compare(model, prompt: Ids, one: Ids, other: Ids) -> bool:
        if list(one) == list(other):
            return True
        place = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
        ids = {"input_ids": [[*prompt, *one[:place]]]}
        if model.config.is_encoder_decoder:
            ids = {"input_ids": [prompt], "decoder_input_ids": [[0, *one[:place]]]}
        with torch.no_grad():
            logits = model(**{name: torch.tensor(rows) for name, rows in ids.items()}).logits[0, -1]
        return bool((logits[one[place]] - logits[other[place]]).abs() < 1e-4)

    return compare
