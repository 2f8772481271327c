"""The bundled pair itself: slow, because it is answered by the torch engine too."""

from collections.abc import Sequence

import pytest

from hybrid.engines.contract import EngineConfig
from hybrid.engines.onnx import engine as onnx_engine
from hybrid.engines.torch.engine import TorchEngine
from hybrid.models.manifest import BUNDLED, available_pairs
from hybrid.models.sources import ZooSource
from hybrid.schema import METHODS, MODELS, Sampling
from hybrid.suites import load_suite
from tests.loaded import EN_DE, ask

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(EN_DE not in available_pairs(BUNDLED), reason="no pair is bundled"),
]

SUITES = ("everyday-en-de@1", "briefs-en@1")


@pytest.fixture(scope="module")
def source() -> ZooSource:
    return ZooSource(EN_DE, BUNDLED)


@pytest.fixture(scope="module")
def exact(source):
    return onnx_engine.create_engines(EngineConfig(source, tuple(METHODS), dtype="float32"))


@pytest.fixture(scope="module")
def prompts() -> list[tuple[str, str]]:
    """50 tasks and texts, of both suites."""
    all_prompts = [(s.task, e.source) for s in map(load_suite, SUITES) for e in s.examples]
    return all_prompts[:: len(all_prompts) // 50][:50]


def ids(source, engine, task: str, text: str) -> tuple[int, ...]:
    (generation,) = ask(engine, source, task, [text], Sampling(64, truncate=True))
    return generation.token_ids


def agreement(answers: Sequence[tuple[int, ...]], references: Sequence[tuple[int, ...]]) -> float:
    """Share of ids that agree until the first of an answer that does not; what follows is another answer."""
    parted = alike = 0
    for answer, reference in zip(answers, references, strict=True):
        common = next((i for i, (a, b) in enumerate(zip(answer, reference, strict=False)) if a != b), None)
        parted += common is not None
        alike += len(reference) if common is None else common
    return alike / (alike + parted)


@pytest.fixture(scope="module")
def expected(source, prompts):
    """The torch engine's ids, by model."""
    bundle = source.bundle(MODELS)
    return {
        model: [ids(source, engine, *prompt) for prompt in prompts]
        for model in MODELS
        for engine in [TorchEngine(bundle, model, threads=1)]
    }


@pytest.mark.parametrize("method", METHODS)
def test_ids_of_50_prompts_equal_the_torch_engines(source, exact, prompts, expected, method):
    model = METHODS[method].models[0]
    onnx_ids = [ids(source, exact[method], *prompt) for prompt in prompts]
    assert len(prompts) == 50
    assert onnx_ids == expected[model]


@pytest.mark.parametrize(("dtype", "least"), [("float32", 1.0), ("int8", 0.98)])
@pytest.mark.parametrize("model", MODELS)
def test_batches_of_32_give_the_ids_of_single_prompts(source, prompts, model, dtype, least):
    """In 8 bits nearly: kernels for several rows round otherwise, where the CPU has VNNI."""
    engine = onnx_engine.create_engines(EngineConfig(source, (model,), dtype=dtype))[model]
    texts = [text for task, text in prompts if task == "translate-en-de"][:32]
    together = ask(engine, source, "translate-en-de", texts, Sampling(64))
    assert len(texts) == 32
    alone = [ids(source, engine, "translate-en-de", text) for text in texts]
    assert agreement([generation.token_ids for generation in together], alone) >= least


@pytest.mark.parametrize(("int8_encoder", "least"), [("off", 0.98), ("on", 0.96)])
@pytest.mark.parametrize("model", MODELS)
def test_8_bits_choose_nearly_the_same_ids(source, prompts, expected, model, int8_encoder, least):
    """What an encoder in 8 bits adds is that of VNNI; `python -m tests.bars --files` tells its BLEU."""
    config = EngineConfig(source, (model,), dtype="int8", options={"int8_encoder": int8_encoder})
    engine = onnx_engine.create_engines(config)[model]
    assert agreement([ids(source, engine, *prompt) for prompt in prompts], expected[model]) > least
