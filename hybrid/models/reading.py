"""What reads a prompt: an encoder, or the first blocks of a decoder-only model, as a transformers module.

Built of exactly the blocks that are read. `layer` counts them: the output of block
`layer` is taken as it is; with None all blocks are read, and the final norm behind them.
"""

import copy
import inspect
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
    PretrainedConfig,
    PreTrainedModel,
)

from hybrid.models.architectures import empty_model


def reads_causally(config: PretrainedConfig) -> bool:
    """Say whether it describes a decoder-only model, in which no token sees those after it."""
    others = (MODEL_FOR_MASKED_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING)
    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not any(type(config) in other for other in others)


def new_encoder(config: PretrainedConfig, layer: int | None = None) -> PreTrainedModel:
    """Build what reads a prompt, with the first weights of its family.

    config: of an encoder, an encoder-decoder or a decoder-only model.
    Raises ValueError when it has no block `layer`.
    """
    if layer is not None:
        config = _with_blocks(config, layer)
    settings: dict[str, Any] = {}
    if reads_causally(config):
        kind: Any = MODEL_MAPPING[type(config)]
    elif type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING and not _shares_with_encoder(config):
        kind = type(empty_model(_whole(config)).get_encoder())
        config = getattr(config, "encoder", config)  # a T5Gemma's has one of its own
    else:
        known = type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING
        kind = (MODEL_FOR_TEXT_ENCODING_MAPPING if known else MODEL_MAPPING)[type(config)]
        if "add_pooling_layer" in inspect.signature(kind).parameters:
            settings["add_pooling_layer"] = False  # reads the first token alone
    module: PreTrainedModel = kind._from_config(config, **settings)
    if layer is not None:
        _drop_final_norm(module, layer)
    return module


def share_weights(reader: PreTrainedModel, llm: PreTrainedModel) -> None:
    """Let `reader`, built by new_encoder, hold the weights of `llm`, frozen and in memory once.

    llm: the language model, or what it is made of. Raises ValueError when it is another one.
    """
    names = reader.state_dict().keys()
    parts = [part.state_dict() for part in (llm, llm.base_model, llm.get_encoder(), llm.get_decoder())]
    source = next((weights for weights in parts if names <= weights.keys()), None)
    if source is None:
        raise ValueError(
            f"the weights of a {type(llm).__name__} do not hold those of the pair's {type(reader).__name__}"
        )
    reader.load_state_dict({name: source[name] for name in names}, assign=True)
    restore_buffers(reader)
    reader.requires_grad_(False)


def restore_buffers(model: PreTrainedModel) -> None:
    """Compute what no file of weights holds, such as rotary frequencies, in a model built without memory.

    Its weights must be in place: they are left as they are.
    """
    device = next((weight.device for weight in model.parameters() if not weight.is_meta), torch.device("cpu"))
    for module in model.modules():
        lost = [name for name in module._non_persistent_buffers_set if _is_meta(module._buffers[name])]
        for name in lost:
            module._buffers[name] = torch.empty_like(cast(Any, module._buffers[name]), device=device)
        module._is_hf_initialized = not lost  # type: ignore[assignment]
        if lost:  # some have weights as well, such as Gemma's embeddings
            for weight in module.parameters(recurse=False):
                weight._is_hf_initialized = True  # type: ignore[attr-defined]
    model.initialize_weights()  # of the modules marked, as from_pretrained() does


def _is_meta(buffer: torch.Tensor | None) -> bool:
    return buffer is not None and buffer.is_meta


def _with_blocks(config: PretrainedConfig, layer: int) -> PretrainedConfig:
    """Copy a configuration, with the first `layer` blocks of what reads."""
    config = copy.deepcopy(config)
    reader: Any = getattr(config, "encoder", config)
    blocks = reader.num_hidden_layers
    if not 1 <= layer <= blocks:
        raise ValueError(f"layer is {layer}; this {config.model_type} has blocks 1 to {blocks}")
    if getattr(reader, "layer_types", None):
        reader.layer_types = reader.layer_types[:layer]
    reader.num_hidden_layers = layer
    return config


def _shares_with_encoder(config: PretrainedConfig) -> bool:
    """Say whether transformers has a class of its encoder alone, made of the same configuration."""
    return type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING and not hasattr(config, "encoder")


def _whole(config: PretrainedConfig) -> PretrainedConfig:
    config = copy.deepcopy(config)
    config.is_encoder_decoder = True
    return config


def _drop_final_norm(module: PreTrainedModel, blocks: int) -> None:
    """Take away the norm behind the last block: one beside the blocks that is not of the embeddings."""
    for owner in module.modules():
        if any(isinstance(part, nn.ModuleList) and len(part) == blocks for part in owner.children()):
            for name, part in list(owner.named_children()):
                weight = getattr(part, "weight", None)
                if isinstance(weight, torch.Tensor) and weight.ndim == 1 and "emb" not in name:
                    setattr(owner, name, nn.Identity())
            return
