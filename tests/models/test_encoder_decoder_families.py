"""BART, Marian and T5Gemma: what their config.json may hold, sizes, and every weight in a record."""

import copy

import pytest

from hybrid.errors import EngineError
from hybrid.models.architectures import (
    check_supported,
    configuration,
    decoder_of,
    empty_model,
    encoder_of,
    sizes_of,
)
from tests.engines.encoder_decoders import VARIANTS, bart, marian, random_model, t5gemma
from tests.models.test_architectures import tensors

# As config.json on the Hub says it, what a model is not built from included, and the number of parameters.
BART_BASE = {
    "model_type": "bart", "activation_function": "gelu", "add_bias_logits": False, "d_model": 768,
    "add_final_layer_norm": False, "bos_token_id": 0, "decoder_attention_heads": 12, "decoder_ffn_dim": 3072,
    "decoder_layers": 6, "decoder_start_token_id": 2, "early_stopping": True, "encoder_attention_heads": 12,
    "encoder_ffn_dim": 3072, "encoder_layers": 6, "eos_token_id": 2, "forced_bos_token_id": 0,
    "forced_eos_token_id": 2, "init_std": 0.02, "is_encoder_decoder": True, "max_position_embeddings": 1024,
    "no_repeat_ngram_size": 3, "normalize_before": False, "normalize_embedding": True, "num_beams": 4,
    "pad_token_id": 1, "scale_embedding": False, "vocab_size": 50265, "classif_dropout": 0.1,
    "task_specific_params": {"summarization": {"max_length": 128}},
}  # fmt: skip
OPUS = {
    "model_type": "marian", "activation_function": "swish", "bad_words_ids": [[58100]], "bos_token_id": 0,
    "d_model": 512, "decoder_attention_heads": 8, "decoder_ffn_dim": 2048, "decoder_layers": 6,
    "decoder_start_token_id": 58100, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048,
    "encoder_layers": 6, "eos_token_id": 0, "extra_pos_embeddings": 58101, "is_encoder_decoder": True,
    "max_position_embeddings": 512, "normalize_before": False, "num_beams": 6, "pad_token_id": 58100,
    "scale_embedding": True, "static_position_embeddings": True, "vocab_size": 58101,
}  # fmt: skip
GEMMA_2B = {
    "model_type": "t5_gemma_module", "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216,
    "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192, "rope_theta": 10000.0,
    "sliding_window": 4096, "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1,
    "rms_norm_eps": 1e-6, "use_cache": True,
}  # fmt: skip
GEMMA_9B = GEMMA_2B | {
    "hidden_size": 3584, "intermediate_size": 14336, "num_hidden_layers": 42, "num_attention_heads": 16,
    "num_key_value_heads": 8,
}  # fmt: skip
PUBLISHED = {
    "BART base": (BART_BASE, 139_420_416),
    "OPUS-MT": (OPUS, 74_410_496),
    "T5Gemma 2B-2B": ({"model_type": "t5gemma", "encoder": GEMMA_2B, "decoder": GEMMA_2B}, 5_596_853_760),
    "T5Gemma 9B-2B": ({"model_type": "t5gemma", "encoder": GEMMA_9B, "decoder": GEMMA_2B}, 12_292_375_296),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_gives_a_model_of_its_size(name):
    published, parameters = PUBLISHED[name]
    config = configuration(published)
    assert sum(weight.numel() for weight in empty_model(config).parameters()) == parameters
    assert sizes_of(config) == sizes_of(published)
    assert getattr(config, "forced_eos_token_id", None) is None  # greedy and nothing else


def test_sizes_of_a_large_encoder_are_its_own():
    sizes = sizes_of(PUBLISHED["T5Gemma 9B-2B"][0])
    assert (sizes.d_model, sizes.heads, sizes.key_value_heads) == (2304, 8, 4)
    assert sizes.reader is not None
    assert (sizes.reader.d_model, sizes.reader.heads, sizes.reader.key_value_heads) == (3584, 16, 8)
    assert (sizes.encoder_layers, sizes.decoder_layers) == (42, 26)
    assert sizes_of(OPUS).never == 58100
    assert sizes_of(BART_BASE).reader is sizes_of(BART_BASE).never is None


@pytest.mark.parametrize("name", VARIANTS)
def test_every_weight_stands_in_a_record(name):
    """By how many values there are: some are stored otherwise than they are computed with."""
    model = random_model(VARIANTS[name](32), 3)
    stacks = encoder_of(model), decoder_of(model)
    turned = {
        layer.self_attention.rotary.frequencies.data_ptr()
        for stack in stacks for layer in stack.layers if layer.self_attention.rotary
    }  # fmt: skip
    counts = {tensor.data_ptr(): tensor.numel() for stack in stacks for tensor in tensors(stack)}
    count = sum(values for place, values in counts.items() if place not in turned)
    spare = 4 * 32 if "bart" in name else 0  # two rows of each table of positions stand for none
    biases = 0 if "t5gemma" in name else model.final_logits_bias.numel()
    assert count == sum(weight.numel() for weight in model.parameters()) - spare + biases


WRONG = [
    (bart, {"d_model": -4}, "-4"),
    (bart, {"encoder_layers": 10**9}, "1000"),
    (bart, {"activation_function": "exec"}, "exec"),
    (bart, {"decoder_attention_heads": 5}, "decoder_attention_heads is 5"),
    (bart, {"eos_token_id": 384}, "eos_token_id is 384"),
    (bart, {"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
    (marian, {"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings is False"),
    (marian, {"decoder_vocab_size": 100}, "decoder_vocab_size is 100"),
    (t5gemma, {"encoder": {"hidden_activation": "relu"}}, "relu"),
    (t5gemma, {"decoder": {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}}, "yarn"),
    (t5gemma, {"decoder": {"layer_types": ["full_attention"]}}, "layer_types names 1"),
    (t5gemma, {"decoder": {"num_key_value_heads": 3}}, "num_attention_heads is 4"),
    (t5gemma, {"encoder": {"vocab_size": 385}}, "encoder.vocab_size is 385"),
    (t5gemma, {"decoder": {"bos_token_id": -1}}, "bos_token_id"),
    (t5gemma, {"decoder": {"eos_token_id": 384}}, "eos_token_id is 384"),
    (t5gemma, {"decoder": {"attn_logit_softcapping": 0.0}}, "attn_logit_softcapping"),
]


@pytest.mark.parametrize(("family", "changes", "named"), WRONG)
def test_what_is_out_of_bounds_is_refused_by_key_or_value(family, changes, named):
    config = family(32, **{key: value for key, value in changes.items() if isinstance(value, dict)})
    config |= {key: value for key, value in changes.items() if not isinstance(value, dict)}
    if "auto_map" in changes:
        config |= changes
    with pytest.raises(ValueError, match=named):
        configuration(copy.deepcopy(config))


def test_a_variant_of_the_family_is_refused_by_the_engines():
    with pytest.raises(EngineError, match=r"Marian \(OPUS-MT\).*share_encoder.*--engine transformers"):
        check_supported(marian(32, share_encoder_decoder_embeddings=False))
    with pytest.raises(EngineError, match=r"T5Gemma does not cover this t5gemma: decoder\.hidden_activation"):
        check_supported(t5gemma(32, decoder={"hidden_activation": "relu"}))
