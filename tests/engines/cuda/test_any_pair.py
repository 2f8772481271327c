"""Pairs of the families that GPU graphs have: the ids of generate(), on the CPU or, with -m gpu, captured."""

import pytest

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda.engine import CudaGraphEngine, create_engines
from hybrid.errors import EngineError
from hybrid.schema import CPU, MODELS, Device, EncodedPrompt, Sampling
from tests.engines.any_pairs import NEW, PROMPTS, AnyPair, answers, expected, phases
from tests.engines.cuda.timing import best_kernel

LOSSLESS = ("lossless", "lossless-slm", "lossless-lookup")
PAIRS = {
    "llama+t5, bridge, middle": ("llama", "t5", {"bridge": True, "layer": 2, "standardize": True}),
    "llama+t5": ("llama", "t5", {}),
    "gpt2+t5, bridge, middle": ("gpt2", "t5", {"bridge": True, "layer": 1}),
    "qwen2+gpt2, bridge": ("qwen2", "gpt2", {"bridge": True}),
    "llama+llama": ("llama", "llama", {}),
    "gpt2+llama, replace, last without norm": ("gpt2", "llama", {"fusion": "replace", "layer": 3}),
    "t5+gpt2, bridge": ("t5", "gpt2", {"bridge": True}),
    "t5+t5, bridge, middle": ("t5", "t5", {"bridge": True, "layer": 2, "standardize": True}),
    "llama+t5, bridge, two layers": ("llama", "t5", {"bridge": True, "layer": (1, 3), "standardize": True}),
    "t5+gpt2, two layers": ("t5", "gpt2", {"bridge": True, "layer": (1, 2)}),
}


@pytest.fixture(scope="module", params=PAIRS)
def pair(request) -> AnyPair:
    llm, slm, settings = PAIRS[request.param]
    return AnyPair(llm, slm, **settings)


def engine(pair: AnyPair, method: str, device: Device = CPU, dtype: str = "float32", **options):
    return CudaGraphEngine(EngineConfig(pair, (method,), device, dtype, options=options), method)


@pytest.mark.parametrize("model", MODELS)
def test_ids_equal_generate_alone_and_in_a_batch(pair, model):
    graphs = engine(pair, model)
    written = [expected(pair.model(model), prompt) for prompt in PROMPTS]
    assert answers(graphs, PROMPTS) == written
    assert [answers(graphs, [prompt])[0] for prompt in PROMPTS] == written
    assert answers(graphs, PROMPTS[:3]) == written[:3]
    assert graphs.notices == []


def test_a_hybrid_reads_projects_and_writes_in_steps_of_their_own(pair):
    assert phases(engine(pair, "hybrid"), PROMPTS[1]) == ["encode", "project", "prefill", "decode"]


@pytest.mark.parametrize("method", LOSSLESS)
def test_lossless_methods_give_the_ids_of_the_llm(pair, method):
    graphs = engine(pair, method)
    for prompt in PROMPTS:
        assert answers(graphs, [prompt])[0] == expected(pair.model("llm"), prompt)
    assert graphs.notices == []


def test_drafts_are_accepted_where_a_model_drafts_for_itself():
    pair = AnyPair("llama", "llama")
    pair.models["slm"] = pair.models["llm"]
    prompt = EncodedPrompt(tuple(PROMPTS[1]))
    steps = list(engine(pair, "lossless-slm").generate([prompt], Sampling(30, ignore_eos=True)))
    drafted, accepted = (sum(sum(getattr(s, name)) for s in steps) for name in ("drafted", "accepted"))
    assert [step.phase for step in steps[:4]] == ["prefill", "draft", "verify", "draft"]
    assert drafted == accepted > 20


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_answer_and_mostly_begin_alike(dtype):
    pair = AnyPair("llama", "t5", bridge=True, layer=2, standardize=True)
    for model in MODELS:
        written = [expected(pair.model(model), prompt) for prompt in PROMPTS]
        brief = answers(engine(pair, model, dtype=dtype), PROMPTS)
        assert {len(ids) for ids in brief} == {NEW}
        assert sum(a[0] == b[0] for a, b in zip(brief, written, strict=True)) >= 3


def test_a_decoder_only_llm_is_packed_once_for_writing_and_reading(monkeypatch):
    from hybrid.engines.cuda import engine as module

    monkeypatch.setattr(module, "unavailable_reason", lambda _: None)
    pair = AnyPair("llama", "gpt2", layer=2, bridge=True)
    engines = create_engines(EngineConfig(pair, MODELS, dtype="float32"))
    writes, reads = engines["llm"]._packed["llm"].decoder, engines["hybrid"]._packed["hybrid"].reads
    assert [id(layer) for layer in reads.layers] == [id(layer) for layer in writes.layers[:2]]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_more_tokens_than_a_model_has_positions_for_are_refused(family):
    pair = AnyPair(family, family)
    graphs, prompt = engine(pair, "llm"), EncodedPrompt((5,) * 30)
    steps = graphs.generate([prompt], Sampling(227, ignore_eos=True))
    assert sum(len(step.token_ids[0]) for step in steps if step.token_ids) == 227
    assert graphs.notices == []
    with pytest.raises(EngineError, match="positions for 256 tokens"):
        list(graphs.generate([prompt], Sampling(228)))


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kernel", ["torch", "best"])
def test_a_gpu_gives_the_same_ids(pair, model, kernel):
    kernel = best_kernel() if kernel == "best" else kernel
    graphs = engine(pair, model, Device("cuda"), kernels=kernel)
    written = [expected(pair.model(model), prompt) for prompt in PROMPTS]
    assert answers(graphs, PROMPTS) == written
    assert [answers(graphs, [prompt])[0] for prompt in PROMPTS] == written
    assert (graphs.options, graphs.notices) == ({"kernels": kernel}, [])
    for dtype in ("bfloat16", "float16"):
        brief = engine(pair, model, Device("cuda"), dtype, kernels=kernel)
        assert {len(ids) for ids in answers(brief, PROMPTS)} == {NEW}
        assert (brief.options, brief.notices) == ({"kernels": kernel}, [])


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("method", LOSSLESS)
def test_a_gpu_drafts_and_gives_the_ids_of_the_llm(pair, method):
    graphs = engine(pair, method, Device("cuda"))
    for prompt in PROMPTS:
        assert answers(graphs, [prompt])[0] == expected(pair.model("llm"), prompt)
    assert graphs.notices == []
