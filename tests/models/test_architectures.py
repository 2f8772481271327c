"""Architectures: every weight under the name of its part, sizes as transformers has them, refusals."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3Config, MT5Config, PegasusConfig, T5Config

from hybrid.errors import EngineError
from hybrid.models.architectures import (
    ARCHITECTURES,
    architecture_of,
    check_supported,
    decoder_of,
    encoder_of,
    reader_of,
    sizes_of,
)
from tests.engines.families import FAMILIES, random_model
from tests.models.tiny import tiny_model


@pytest.fixture(params=FAMILIES)
def t5(request):
    return random_model(32, 3, **FAMILIES[request.param])


def test_every_weight_of_a_t5_stands_in_a_record_once(t5):
    named = {tensor.data_ptr() for stack in (encoder_of(t5), decoder_of(t5)) for tensor in tensors(stack)}
    assert named == {tensor.data_ptr() for tensor in t5.state_dict().values()}


def test_sizes_of_a_t5_are_those_of_its_configuration(t5):
    sizes, config = sizes_of(t5.config), t5.config
    assert (sizes.d_model, sizes.d_ff, sizes.heads, sizes.head_width, sizes.vocabulary) == (
        config.d_model, config.d_ff, config.num_heads, config.d_kv, config.vocab_size,
    )  # fmt: skip
    assert (sizes.encoder_layers, sizes.decoder_layers) == (config.num_layers, config.num_decoder_layers)
    assert (sizes.gated, sizes.activation.removesuffix("-tanh")) == (
        config.is_gated_act, config.dense_act_fn.removesuffix("_new"),
    )  # fmt: skip
    assert not sizes.decoder_only


DECODER_ONLY = ("gpt2", "gpt_neox", "llama", "qwen2", "qwen3", "gemma3_text")


@pytest.mark.parametrize("family", DECODER_ONLY)
def test_every_weight_of_a_decoder_only_model_stands_in_its_record(family):
    """By how many values there are: some families store other ones than those they compute with."""
    model = tiny_model(family)
    stack = decoder_of(model)
    turned = {
        layer.self_attention.rotary.frequencies.data_ptr() for layer in stack.layers if family != "gpt2"
    }
    counts = {tensor.data_ptr(): tensor.numel() for tensor in tensors(stack)}
    count = sum(values for place, values in counts.items() if place not in turned)
    assert count == sum(weight.numel() for weight in model.parameters())
    assert encoder_of(model) is None


@pytest.mark.parametrize("family", DECODER_ONLY)
def test_sizes_of_a_decoder_only_model_are_those_of_its_configuration(family):
    model = tiny_model(family)
    sizes, config = sizes_of(model.config), model.config
    assert (sizes.d_model, sizes.heads, sizes.decoder_layers, sizes.vocabulary) == (
        config.hidden_size, config.num_attention_heads, config.num_hidden_layers, config.vocab_size,
    )  # fmt: skip
    layer = decoder_of(model).layers[0]
    assert len(layer.feed_forward.up.weight) == sizes.d_ff
    assert len(layer.self_attention.key.weight) == sizes.key_value_heads * sizes.head_width
    assert sizes.gated == (layer.feed_forward.gate is not None)
    assert sizes.decoder_only


def test_a_text_model_is_found_inside_one_that_sees_images():
    text = tiny_model("gemma3_text")
    inner = {key: value for key, value in text.config.to_dict().items() if key != "model_type"}
    eyes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Gemma3Config(text_config=inner, vision_config=eyes | {"image_size": 8, "patch_size": 4})
    whole = AutoModelForCausalLM.from_config(config)
    whole.model.language_model.load_state_dict(text.model.state_dict())
    assert replace(sizes_of(config), family="gemma3_text") == sizes_of(text.config)
    pairs = zip(tensors(reader_of(whole)), tensors(reader_of(text)), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        (T5Config(d_model=64), 0.125),
        (T5Config(d_model=64, tie_word_embeddings=False), 1.0),
        (MT5Config(d_model=64), 1.0),
        # As a config.json on the Hub says it, before transformers has rewritten it.
        ({"model_type": "t5", **(smallest := {"d_model": 64, "d_kv": 8, "d_ff": 9, "num_heads": 1}), **(
            rest := {"num_layers": 1, "vocab_size": 9})}, 0.125),
        ({"model_type": "t5", "tie_word_embeddings": False, **smallest, **rest}, 1.0),
    ],
)  # fmt: skip
def test_a_head_is_scaled_where_the_family_scales_it(config, scale):
    assert sizes_of(config).head_scale == scale


@pytest.mark.parametrize("reach", [1, 5, 40, 300])
@pytest.mark.parametrize("stack", ["encoder", "decoder"])
@pytest.mark.parametrize("buckets", [{}, {"relative_attention_num_buckets": 8}])
def test_the_position_bias_is_that_of_transformers(stack, reach, buckets):
    model = random_model(32, 3, relative_attention_max_distance=50, **buckets)
    record = encoder_of(model) if stack == "encoder" else decoder_of(model)
    attention = getattr(model, stack).block[0].layer[0].SelfAttention
    columns = 2 * reach - 1 if stack == "encoder" else reach
    expected = attention.compute_bias(1, columns, past_seen_tokens=reach - 1)[0, :, 0]
    assert torch.equal(record.positions.by_distance(reach), expected)


@pytest.mark.parametrize(
    ("config", "nearest"),
    [(PegasusConfig(), "bart"), ({"model_type": "falcon_h1"}, None), ({}, None)],
)
def test_another_family_is_refused_by_name_with_the_nearest(config, nearest):
    with pytest.raises(EngineError, match="nearest") as caught:
        check_supported(config)
    family = config.get("model_type") if isinstance(config, dict) else config.model_type
    assert repr(str(family)) in str(caught.value)
    assert "--engine transformers" in str(caught.value)
    if nearest:
        assert f"nearest is {ARCHITECTURES[nearest].label}" in str(caught.value)


def test_another_variant_is_refused_by_what_it_is():
    with pytest.raises(EngineError, match="gated-silu"):
        check_supported(T5Config(feed_forward_proj="gated-silu"))
    config = T5Config(feed_forward_proj="gated-silu").to_dict()
    with pytest.raises(ValueError, match="gated-silu"):
        architecture_of(config).sizes(config)


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt_neox", "hidden_act", "mish"),
        ("llama", "hidden_act", "gelu"),
        ("llama", "rope_parameters", {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}),
        ("qwen2", "layer_types", ["chunked_attention"] * 3),
        ("qwen3", "hidden_act", "relu"),
        ("gemma3_text", "final_logit_softcapping", 30.0),
        ("gemma3_text", "use_bidirectional_attention", True),
    ],
)
def test_a_decoder_only_variant_is_refused_by_key_and_value(family, key, value):
    config = tiny_model(family).config.to_dict() | {key: value}
    named = {"rope_parameters": ("rope_type", "yarn"), "layer_types": (key, "chunked_attention")}
    with pytest.raises(EngineError, match="--engine transformers") as caught:
        check_supported(config)
    for word in (ARCHITECTURES[family].label, *named.get(key, (key, str(value)))):
        assert word in str(caught.value)


def tensors(record):
    """All tensors in a record and in those that it holds."""
    if isinstance(record, torch.Tensor):
        yield record
    elif isinstance(record, tuple):
        for part in record:
            yield from tensors(part)
    elif hasattr(record, "__dataclass_fields__"):
        for name in record.__dataclass_fields__:
            yield from tensors(getattr(record, name))
