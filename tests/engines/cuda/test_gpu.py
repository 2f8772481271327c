"""On a GPU: `pytest -m gpu -s tests/engines/cuda`; captured graphs give torch's ids, and keep to their bars.

Speed does not depend on the values of weights: the models of the table are random, of published sizes.
"""

from collections.abc import Callable, Iterator

import pytest
import torch

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda.capture import GraphCapturer
from hybrid.engines.cuda.engine import CudaGraphEngine, create_engines
from hybrid.engines.cuda.kernel_selector import KERNELS
from hybrid.engines.torch.engine import TorchEngine
from hybrid.models.bundle import Bundle
from hybrid.models.known_shapes import published_shapes
from hybrid.models.random_pair import RandomSource, RandomWeights, random_pair, word_prompts
from hybrid.schema import MODELS, Device, Sampling
from tests.bundle_source import BundleSource
from tests.engines.cuda.timing import best_kernel, captured, generated, milliseconds, show
from tests.loaded import ask, encoded, prompt_ids

# Warnings of libraries are theirs; as errors they would make the engine fall back.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
VOCABULARY = 32_000
PROMPT, NEW = 128, 64  # tokens of a whole request
ROUNDS = 7


def test_what_is_captured_is_done_again_on_new_values_in_the_same_memory():
    device = torch.device("cuda")
    capturer, values, results = (
        GraphCapturer(device),
        torch.ones(8, device=device),
        torch.zeros(8, device=device),
    )
    twice = capturer.capture(lambda: results.copy_((values * 2).cumsum(0)))
    thrice = capturer.capture(lambda: results.add_(values * 3), warm_ups=0)
    for value in (1.0, 5.0):
        values.fill_(value)
        twice()
        thrice()
        assert results.tolist() == [value * (2 * n + 3) for n in range(1, 9)]


def test_what_captured_work_reads_stays_as_long_as_it_can_be_replayed():
    device = torch.device("cuda")
    results = torch.zeros(2**20, device=device)

    def work_with_a_table_of_its_own() -> Callable[[], None]:
        table = torch.full((2**20,), 7.0, device=device)
        return lambda: results.copy_(table)

    replay = GraphCapturer(device).capture(work_with_a_table_of_its_own())
    others = [torch.zeros(2**20, device=device) for _ in range(64)]  # they take what has become free
    replay()
    assert set(results.tolist()) == {7.0}
    assert not any(other.any() for other in others)


@pytest.fixture(scope="module")
def exact(tiny_bundle) -> dict[str, TorchEngine]:
    """The torch engine in float32 on the GPU, for each method."""
    return {method: TorchEngine(tiny_bundle, method, "cuda", torch.float32) for method in MODELS}


@pytest.mark.parametrize("method", MODELS)
@pytest.mark.parametrize("kernel", ["torch", "best"])
def test_float32_gives_the_ids_of_torch(
    graph_engine, exact, tiny_bundle, texts, answers, same, method, kernel
):
    """Batches of every size up to 32, prompts of every length that the tiny pair reads."""
    kernel = best_kernel() if kernel == "best" else kernel
    engine = graph_engine(method, device=Device("cuda"), options={"kernels": kernel})
    groups = [texts[-1:], texts[:1], texts[50:52], texts[40:43], texts[100:107], texts[::13], texts[::8]]
    for limit, group in ((24, groups), (70, groups[:4])):
        for part in group:
            graph_answers, torch_answers = (
                answers(each, part, max_new_tokens=limit) for each in (engine, exact[method])
            )
            for text, mine, expected in zip(part, graph_answers, torch_answers, strict=True):
                prompt = prompt_ids(tiny_bundle, text)
                assert same(tiny_bundle.model(method), prompt, mine.token_ids, expected.token_ids)
    assert (engine.options, engine.device) == ({"kernels": kernel}, "cuda")
    assert engine.notices == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_agree_as_often_as_torch_does_in_them(
    graph_engine, exact, tiny_bundle, texts, answers, dtype
):
    """A tiny model of random weights is easily moved; more than rounding must not move it."""
    rows = []
    for method in MODELS:
        engine = graph_engine(method, device=Device("cuda"), dtype=dtype)
        rounded = TorchEngine(tiny_bundle, method, "cuda", torch.bfloat16)  # it has no float16
        graph_ids, torch_ids, expected = (
            [generation.token_ids for part in (texts[:1], texts[::4]) for generation in answers(each, part)]
            for each in (engine, rounded, exact[method])
        )
        first, whole, torchs = (
            sum(a[:n] == b[:n] for a, b in zip(ids, expected, strict=True)) / len(expected)
            for ids, n in ((graph_ids, 1), (graph_ids, None), (torch_ids, 1))
        )
        rows.append((method, f"{first:.0%}", f"{whole:.0%}", f"{torchs:.0%}"))
        assert engine.options["kernels"].startswith(best_kernel())
        assert first >= torchs - 0.1
    show(
        f"{dtype} against float32: share of equal",
        ("method", "first ids", "answers", "torch, first ids"),
        rows,
    )


def test_answers_interrupted_and_of_changing_sizes_leave_nothing_behind(
    tiny_bundle, graph_engine, exact, texts, answers
):
    engine = graph_engine("hybrid", device=Device("cuda"))
    expected = [generation.token_ids for generation in answers(exact["hybrid"], texts[60:64])]
    for size, limit in ((7, 24), (4, 140), (1, 5), (32, 24), (4, 24)):
        answers(engine, texts[-size:], max_new_tokens=limit, ignore_eos=True)
        abandoned = engine.generate(encoded(tiny_bundle, texts[-size:]), Sampling(limit, ignore_eos=True))
        for _ in range(2):
            next(abandoned)
        assert [generation.token_ids for generation in answers(engine, texts[60:64])] == expected


def random_source(llm: str, slm: str) -> RandomSource:
    """Random weights of these shapes, in bfloat16 on the GPU."""
    weights = RandomWeights(VOCABULARY, device=Device("cuda"), dtype=torch.bfloat16)
    return random_pair(published_shapes()[llm], published_shapes()[slm], weights)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[RandomSource, Bundle]]:
    """T5 v1.1 large and small, held as long as the tests run."""
    source = random_source("t5-v1_1-large", "t5-v1_1-small")
    yield source, source.bundle(MODELS)
    torch.cuda.empty_cache()


def test_speed_of_steps_and_encoder(pair):
    """A token in at most 1.67 and 0.6 ms and 1/15 of generate()'s; the encoder in 1/3 of its eager time."""
    source, bundle = pair
    rows, best = [], {}
    for method, shape in (("llm", "large"), ("slm", "small")):
        model, ids = bundle.model(method), torch.randint(3, VOCABULARY, (1, 32), device="cuda")
        with torch.inference_mode():
            eager = milliseconds(lambda model=model, ids=ids: model.encoder(input_ids=ids))
            generate = generated(model, ids)
        for kernel in KERNELS[KERNELS.index(best_kernel()) :]:
            engine = CudaGraphEngine(
                EngineConfig(source, (method,), Device("cuda"), "bfloat16", options={"kernels": kernel}),
                method,
            )
            encoder, token_ms = captured(engine, 1, 32, NEW)
            _, many = captured(engine, 32, PROMPT, NEW)
            best.setdefault(shape, (encoder / eager, token_ms, token_ms / generate))
            figures = (f"{x:.2f}" for x in (eager, encoder, generate, token_ms, many))
            rows.append((shape, engine.options["kernels"], *figures))
    heads = ("T5 v1.1", "kernels", "encoder, eager", "captured", "generate()", "captured", "of 32 x 128")
    show("milliseconds, of an encoder and of a token, bfloat16, batch 1, 32 tokens in", heads, rows)
    for shape, bar in (("large", 1.67), ("small", 0.6)):
        encoder, token, share = best[shape]
        assert encoder <= 1 / 3
        assert token <= bar
        assert share <= 1 / 15


@pytest.mark.parametrize(
    ("llm", "slm", "least"),
    # T5 v1.1 small has 8 layers for the 6 of T5 small, so that its tokens gain less.
    [("t5-large", "t5-small", 4.0), ("t5-v1_1-large", "t5-v1_1-small", 3.5)],
)
def test_speed_of_whole_requests(llm, slm, least):
    """128 tokens in, 64 out: how many times as fast as its LLM the hybrid is in batch 1."""
    source = random_source(llm, slm)
    engines = create_engines(EngineConfig(source, MODELS, Device("cuda"), "bfloat16"))
    rows, ratios = [], {}
    for batch in (1, 8, 32):
        texts = word_prompts(VOCABULARY, PROMPT, batch, seed=batch)
        timings_of: dict[str, list] = {method: [] for method in MODELS}
        for _ in range(ROUNDS + 1):  # the first captures
            for method, engine in engines.items():
                answers = ask(engine, source, "summarize", texts, Sampling(NEW, ignore_eos=True))
                timings_of[method].append(answers[0].timing)
        middle = {
            method: sorted(timings[1:], key=lambda timing: timing.total_s)[ROUNDS // 2]
            for method, timings in timings_of.items()
        }
        ratios[batch] = middle["llm"].total_s / middle["hybrid"].total_s
        for method, timing in middle.items():
            phases = ", ".join(f"{phase} {seconds * 1e3:.2f}" for phase, seconds in timing.phases.items())
            speed = middle["llm"].total_s / timing.total_s
            figures = (f"{timing.total_s * 1e3:.2f}", f"{timing.tpot_s * 1e3:.3f}", f"{speed:.2f} x")
            rows.append((str(batch), method, *figures, phases))
    title = f"{llm}, {slm}: milliseconds, bfloat16, {PROMPT} tokens in, {NEW} out, median of {ROUNDS}"
    show(
        f"{title}; {engines['hybrid'].options}",
        ("batch", "method", "whole", "a token", "of the LLM", "phases"),
        rows,
    )
    assert [engine.notices for engine in engines.values()] == [[], [], []]
    assert ratios[1] >= least


def test_a_gpu_has_no_reason_to_be_missing(tiny_bundle):
    engines = create_engines(EngineConfig(BundleSource(tiny_bundle), MODELS, Device("cuda", 0), "bfloat16"))
    for method, engine in engines.items():
        assert (engine.method, engine.device, engine.dtype) == (method, "cuda:0", "bfloat16")
        engine.synchronize()
