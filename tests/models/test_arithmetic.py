"""Weights, bytes and operations counted from sizes agree with models that transformers builds."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers.modeling_outputs import BaseModelOutput

from hybrid.models.arithmetic import (
    Products,
    attended,
    attention_width,
    bridged,
    cache_bytes,
    cross_products,
    decode_bytes,
    encode_flops,
    encoder_products,
    head_products,
    layer_products,
    parameters,
    projector_parameters,
    projector_products,
    reading_flops,
    writer_of,
)
from hybrid.models.known_shapes import find_shape
from hybrid.models.pair import HybridConfig, HybridForCausalLM, HybridForConditionalGeneration
from hybrid.models.random_pair import RandomWeights, empty_model, model_config, random_model
from hybrid.models.shapes import Shape

PROMPT = 7
# Every family, gated and not, heads that are as wide as the model together and heads that are not.
SMALL_ONES = ("t5-small", "t5-v1_1-small", "mt5-small", "bart-base", "opus-mt-en-de")
DECODER_ONLY = ("gpt2", "pythia-70m", "smollm2-135m", "qwen2.5-0.5b", "qwen3-0.6b", "gemma-3-270m")


def matrices(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights that rows are multiplied with, by name: no embeddings, no tables of positions."""
    return {
        name: p
        for name, p in model.named_parameters()
        if p.ndim == 2 and not any(part in name for part in ("embed", "shared", "relative_attention_bias"))
    }


@pytest.mark.parametrize(
    "name", [*SMALL_ONES, "t5gemma-2b-2b", "t5-11b"]
)  # whose heads are far wider than the model
def test_a_step_reads_the_decoder_and_the_head(name: str) -> None:
    shape = find_shape(name)
    decoder = matrices(empty_model(shape).get_decoder())
    crossed = {
        n: p
        for n, p in decoder.items()
        if any(part in n for part in ("EncDec", "encoder_attn", "cross_attn"))
    }
    once_a_prompt = {n: p for n, p in crossed.items() if n.split(".")[-2] in ("k", "v", "k_proj", "v_proj")}
    assert len(once_a_prompt) == 2 * shape.decoder_layers
    cross_weights = sum(p.numel() for p in once_a_prompt.values())
    assert cross_products(shape).weights == cross_weights
    assert layer_products(shape).weights == sum(p.numel() for p in decoder.values()) - cross_weights
    assert head_products(shape).weights == shape.vocabulary * shape.d_model


@pytest.mark.parametrize("name", DECODER_ONLY)
def test_a_step_of_a_decoder_only_model_reads_all_its_matrices(name: str) -> None:
    shape = find_shape(name)
    weights = matrices(empty_model(shape).base_model)
    read = sum(
        p.numel() for n, p in weights.items() if ".wpe" not in n and ".wte" not in n and "wte" not in n
    )
    read -= sum(p.numel() for n, p in weights.items() if n == "wpe.weight")
    assert layer_products(shape).weights == encoder_products(shape).weights == read
    assert cross_products(shape) == Products()
    assert head_products(shape).weights == shape.vocabulary * shape.d_model


def test_rows_of_a_layer() -> None:
    # queries, keys and values of 512 columns, output of 384 heads' columns, query, output, two gates, down
    layer = replace(find_shape("t5-v1_1-small"), decoder_layers=1)
    assert layer_products(layer).rows == 512 + 384 + 512 + 384 + 512 + 512 + 1024
    assert layer_products(layer).count == 7
    assert Products.of((2, 3)) * 2 + Products(1, 1, 1) == Products(3, 5, 13)


@pytest.mark.parametrize(("dtype", "each"), [("float32", 4), ("bfloat16", 2), ("float16", 2), ("int8", 1)])
def test_bytes_by_precision(dtype: str, each: int) -> None:
    shape = find_shape("t5-v1_1-base")
    assert decode_bytes(shape, dtype) == 123_764_736 * each  # 12 layers of 8,257,536 and a head of 24,674,304


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'fp8', not one of float32, bfloat16"):
        decode_bytes(find_shape("t5-small"), "fp8")


@pytest.mark.parametrize("name", SMALL_ONES)
def test_operations_of_an_encoder(name: str) -> None:
    shape = find_shape(name)
    encoder = empty_model(shape).get_encoder()
    assert counted(encoder, input_ids=ids(1)) == encode_flops(shape, PROMPT)
    assert counted(encoder, input_ids=ids(3)) == 3 * encode_flops(shape, PROMPT)


@pytest.mark.parametrize("name", [*DECODER_ONLY, "t5gemma-2b-2b", "t5gemma-9b-2b"])
def test_operations_of_other_models_that_read(name: str) -> None:
    shape = sized(name, 32, 4, layers=3)
    model = random_model(shape, RandomWeights(shape.vocabulary))
    model.set_attn_implementation("eager")
    reader = model.base_model if shape.decoder_only else model.get_encoder()
    # The counter takes attention for a product of all with all; rotary frequencies are a product, too.
    unseen = 4 * attention_width(shape) * 3 * (PROMPT**2 - attended(shape, PROMPT))
    rotary = 0 if shape.positions else 2 * PROMPT * shape.d_kv // 2
    turned = counted(reader, input_ids=torch.zeros(1, PROMPT, dtype=torch.long)) - unseen
    assert 0 <= turned - encode_flops(shape, PROMPT) <= 2 * rotary


def test_operations_and_parameters_of_a_hybrid() -> None:
    llm, slm = sized("t5-v1_1-small", 48, 3, layers=3), sized("t5-small", 32, 2, layers=2)
    hybrid = HybridForConditionalGeneration(HybridConfig(model_config(llm), model_config(slm))).eval()
    hybrid.set_attn_implementation("eager")  # the counter knows no fused attention of a CPU
    prompt = torch.ones(1, PROMPT, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        hybrid.encode(prompt, torch.ones_like(prompt))
    assert counter.get_total_flops() == reading_flops("hybrid", llm, slm, PROMPT)
    assert sum(p.numel() for p in hybrid.parameters()) == parameters("hybrid", llm, slm)


def test_operations_of_each_method() -> None:
    llm, slm = find_shape("t5-v1_1-base"), find_shape("t5-v1_1-small")
    alone = encode_flops(llm, 100), encode_flops(slm, 100)
    assert (reading_flops("llm", llm, slm, 100), reading_flops("slm", llm, slm, 100)) == alone
    projector = reading_flops("hybrid", llm, slm, 100) - sum(alone)
    assert projector == 2 * 100 * (768 * 512 + 512 * 512)
    assert projector_parameters(llm, slm) == 768 * 512 + 512 * 512 + 2 * 512


def test_parameters_of_each_method() -> None:
    llm, slm = find_shape("t5-v1_1-base"), find_shape("t5-v1_1-small")
    assert (parameters("llm", llm, slm), parameters("slm", llm, slm)) == (llm.parameters, slm.parameters)
    own = parameters("hybrid", llm, slm) - slm.parameters - llm.encoder_parameters
    assert own == projector_parameters(llm, slm)
    assert [writer_of(model, "L", "S") for model in ("llm", "slm", "hybrid")] == ["L", "S", "S"]


@pytest.mark.parametrize("name", [*SMALL_ONES, "t5gemma-2b-2b"])
def test_bytes_of_caches(name: str) -> None:
    shape = sized(name, 32, 4, layers=3)
    model, states = random_model(shape, RandomWeights(shape.vocabulary)), torch.zeros(2, PROMPT, 32)
    written = torch.ones(2, 5, dtype=torch.long)
    past = model(
        encoder_outputs=BaseModelOutput(states), decoder_input_ids=written, use_cache=True
    ).past_key_values
    tensors = [
        tensor
        for cache in (past.self_attention_cache, past.cross_attention_cache)
        for layer in cache.layers
        for tensor in (layer.keys, layer.values)
    ]
    assert cache_bytes(shape, PROMPT, 5, 2, "float32") == sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("name", DECODER_ONLY)
def test_bytes_of_a_decoder_only_models_cache(name: str) -> None:
    shape = sized(name, 32, 4, layers=3)
    model = random_model(shape, RandomWeights(shape.vocabulary))
    past = model(torch.ones(2, PROMPT + 5, dtype=torch.long), use_cache=True).past_key_values
    tensors = [tensor for layer in past.layers for tensor in (layer.keys, layer.values)]
    assert cache_bytes(shape, PROMPT, 5, 2, "float32") == sum(tensor.nbytes for tensor in tensors)


def test_a_hybrid_of_decoder_only_models_holds_one_prompt_reader() -> None:
    llm, slm = sized("smollm2-135m", 48, 4, layers=3), sized("gpt2", 32, 4, layers=2)
    slm = replace(slm, vocabulary=60, parameters=slm.parameters + 10 * 32)
    assert bridged(llm, slm)
    hybrid = HybridForCausalLM(HybridConfig(model_config(llm), model_config(slm), bridge=True))
    assert sum(p.numel() for p in hybrid.parameters()) == parameters("hybrid", llm, slm)
    projecting = 2 * PROMPT * (48 * 32 + 32 * 32 + 48 * 32)
    assert reading_flops("hybrid", llm, slm, PROMPT) == encode_flops(llm, PROMPT) + projecting
    assert reading_flops("llm", llm, slm, PROMPT) == 0  # prefill takes its prompt


@pytest.mark.parametrize("name", [*DECODER_ONLY, *SMALL_ONES, "t5gemma-9b-2b"])
@pytest.mark.parametrize("layers", [(), (3,), (2,), (1, 3)])
def test_what_a_hybrid_reads_of_its_llm(name: str, layers: tuple[int, ...]) -> None:
    llm = replace(sized(name, 32, 4, layers=3), read_layers=layers)
    slm = sized("t5-small", 16, 2, layers=2)
    config = HybridConfig(model_config(llm), model_config(slm), layer=layers or None)
    hybrid = HybridForConditionalGeneration(config).eval()
    assert sum(p.numel() for p in hybrid.parameters()) == parameters("hybrid", llm, slm)
    assert sum(p.numel() for p in hybrid.llm.parameters()) == llm.read_parameters
    assert hybrid.projector.up.weight.numel() + hybrid.projector.down.weight.numel() == (
        projector_products(llm, slm).weights
    )


@pytest.mark.parametrize("layers", [(), (2,), (1, 3)])
def test_operations_of_a_hybrid_that_reads_layers(layers: tuple[int, ...]) -> None:
    llm = replace(sized("t5-v1_1-small", 48, 3, layers=3), read_layers=layers)
    slm = sized("t5-small", 32, 2, layers=2)
    config = HybridConfig(model_config(llm), model_config(slm), layer=layers or None)
    hybrid = HybridForConditionalGeneration(config).eval()
    hybrid.set_attn_implementation("eager")
    prompt = torch.ones(1, PROMPT, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        hybrid.encode(prompt, torch.ones_like(prompt))
    assert counter.get_total_flops() == reading_flops("hybrid", llm, slm, PROMPT)


def test_8_bit_engines_keep_caches_in_float32() -> None:
    shape = find_shape("t5-small")
    assert cache_bytes(shape, 3, 4, 1, "int8") == 2 * cache_bytes(shape, 3, 4, 1, "bfloat16")


def ids(batch: int) -> torch.Tensor:
    return torch.zeros(batch, PROMPT, dtype=torch.long, device="meta")


def counted(module: torch.nn.Module, **inputs: torch.Tensor) -> int:
    """Operations of a forward pass, as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(**inputs)
    return counter.get_total_flops()


def sized(name: str, width: int, heads: int, layers: int) -> Shape:
    """A shape of the same kind that can be built in a moment."""
    shape = find_shape(name)
    tiny = replace(
        shape, d_model=width, d_ff=2 * width, heads=heads, d_kv=8, decoder_layers=layers, vocabulary=50,
        encoder_layers=0 if shape.decoder_only else layers,
        key_value_heads=None if shape.key_value_heads is None else heads // 2,
        encoder=None if shape.encoder is None else sized(shape.encoder.name, width + 16, heads, layers),
    )  # fmt: skip
    return replace(tiny, parameters=tiny.counted_parameters)
