"""The bundled pair itself: slow, because its LLM writes with transformers' generate() too."""

import pytest
import torch

from hybrid import Generation, Sampling, TorchEngine, load_bundle
from hybrid.models.manifest import BUNDLED, available_pairs
from hybrid.schema import METHODS, SYSTEMS, System
from hybrid.suites import load_suite
from tests.loaded import EN_DE, ask, prompt_ids

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(EN_DE not in available_pairs(BUNDLED), reason="no pair is bundled"),
]

SUBJECTS = ("The editor", "A small museum", "Your order", "The new driver", "Our neighbour")
VERBS = (
    "opens the second window",
    "was closed last winter",
    "will arrive on Friday",
    "returns an empty list",
)
ENDINGS = (
    ".",
    ", but nobody noticed it until the next morning.",
    " when the password is entered twice.",
    ", so please keep the letter for your records.",
    " because the file is larger than 20 MB.",
    " and the children were happy about it.",
    "?",
    ", which means that you have to start again from the beginning of the list.",
    " if the connection is lost.",
    " before the meeting at 9:30.",
)
SENTENCES = [s + " " + v + e for s in SUBJECTS for v in VERBS for e in ENDINGS]


@pytest.mark.parametrize("system", SYSTEMS)
def test_engine_gives_the_ids_of_generate_on_200_sentences(system: System) -> None:
    bundle = load_bundle(EN_DE, BUNDLED)
    engine, model = TorchEngine(bundle, system, threads=1), bundle.model(system)
    differing = []
    for text in SENTENCES:
        ids = prompt_ids(bundle, text, "translate-en-de")
        expected = model.generate(torch.tensor([ids]), max_new_tokens=64, do_sample=False, num_beams=1)
        (answer,) = ask(engine, bundle, "translate-en-de", [text], Sampling(64))
        if list(answer.token_ids) != expected[0, 1:].tolist():
            differing.append(text)
    assert len(SENTENCES) == 200
    assert differing == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_batches_of_32_give_the_ids_of_single_prompts(system: System) -> None:
    bundle = load_bundle(EN_DE, BUNDLED)
    engine = TorchEngine(bundle, system, threads=1)
    differing = []
    for start in range(0, len(SENTENCES), 32):
        part = SENTENCES[start : start + 32]
        together = ask(engine, bundle, "translate-en-de", part, Sampling(64))
        for text, generation in zip(part, together, strict=True):
            (single,) = ask(engine, bundle, "translate-en-de", [text], Sampling(64))
            if generation.token_ids != single.token_ids:
                differing.append(text)
    assert differing == []


def test_lossless_methods_give_the_ids_of_the_llm_on_40_texts_of_a_bundled_suite() -> None:
    bundle, suite = load_bundle(EN_DE, BUNDLED), load_suite("everyday-en-de@1")
    texts = [example.source for example in suite.examples[:40]]

    def answers(method: str) -> list[Generation]:
        engine = TorchEngine(bundle, method, threads=1)
        return [ask(engine, bundle, suite.task, [text], Sampling(128))[0] for text in texts]

    expected = answers("llm")
    for method in METHODS:
        if method.startswith("lossless"):
            generations = answers(method)
            assert [generation.token_ids for generation in generations] == [
                generation.token_ids for generation in expected
            ]
            drafted, accepted = (
                sum(getattr(generation, field) for generation in generations)
                for field in ("drafted", "accepted")
            )
            print(f"\n{method}: {accepted} of {drafted} drafted ids accepted")  # noqa: T201
            assert accepted > (0.05 if method == "lossless-lookup" else 0.6) * drafted
