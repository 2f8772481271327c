"""What reads a prompt: an encoder, or the first blocks of a decoder-only model, as a transformers module.

Built of exactly the blocks that are read. `layer` counts them: the output of block
`layer` is taken as it is; with None all blocks are read, and the final norm behind them. With several
numbers the outputs of those blocks are taken, each as it is, side by side.
An LLM that fits on no GPU alone is spread over several by accelerate, and read from there; one that
fits, or a machine without several GPUs, has nothing to do with that.
"""

import copy
import inspect
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from accelerate import dispatch_model, infer_auto_device_map
from accelerate.utils import get_balanced_memory
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
from transformers.modeling_outputs import BaseModelOutput

from hybrid.models.architectures import empty_model
from hybrid.models.fusion import ReadLayers, layer_numbers

SPARE = 0.8  # of a GPU's free memory for weights; the rest is for states and caches


def reads_causally(config: PretrainedConfig) -> bool:
    """Say whether it describes a decoder-only model, in which no token sees those after it."""
    others = (MODEL_FOR_MASKED_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING)
    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not any(type(config) in other for other in others)


def new_encoder(config: PretrainedConfig, layer: ReadLayers = None) -> PreTrainedModel:
    """Build what reads a prompt, with the first weights of its family.

    config: of an encoder, an encoder-decoder or a decoder-only model.
    Raises ValueError when it has no block `layer`.
    """
    numbers = layer_numbers(layer)
    if numbers:
        config = _with_blocks(config, numbers)
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
    if numbers:
        _drop_final_norm(module, numbers[-1])
    return module


def read_states(
    reader: "PreTrainedModel | SpreadReader", layer: ReadLayers, **inputs: torch.Tensor | None
) -> torch.Tensor:
    """Run what new_encoder built, or a model that is spread: (B, S, d_llm), of k layers (B, S, k * d_llm)."""
    numbers = layer_numbers(layer)
    if len(numbers) < 2 or isinstance(reader, SpreadReader):
        return cast(torch.Tensor, reader(**inputs).last_hidden_state)
    return torch.cat(_outputs(reader, [_block(reader, number) for number in numbers], inputs), dim=-1)


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


def _with_blocks(config: PretrainedConfig, numbers: Sequence[int]) -> PretrainedConfig:
    """Copy a configuration, with the blocks of what reads up to the last of these."""
    config = copy.deepcopy(config)
    reader: Any = getattr(config, "encoder", config)
    blocks = reader.num_hidden_layers
    for number in numbers:
        if not 1 <= number <= blocks:
            raise ValueError(f"layer is {number}; this {config.model_type} has blocks 1 to {blocks}")
    if getattr(reader, "layer_types", None):
        reader.layer_types = reader.layer_types[: numbers[-1]]
    reader.num_hidden_layers = numbers[-1]
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


def free_gpu_bytes() -> dict[int | str, int]:
    """Measure how many bytes of weights each GPU takes, by its number; empty without one."""
    if not torch.cuda.is_available():
        return {}
    return {n: int(torch.cuda.mem_get_info(n)[0] * SPARE) for n in range(torch.cuda.device_count())}


def needs_several(parameters: int, dtype: str) -> bool:
    """Tell whether a model fits on the current GPU no more, and on all of them together."""
    free, needed = free_gpu_bytes(), weight_bytes(parameters, dtype)
    if len(free) < 2 or free[torch.cuda.current_device()] >= needed:
        return False
    return sum(free.values()) >= needed


def weight_bytes(parameters: int, dtype: str) -> int:
    """Count the bytes of weights. dtype: float32, else of 16 bits."""
    return parameters * (4 if dtype == "float32" else 2)


def spread(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Spread a model that is in memory over the GPUs, layer by layer."""
    model = cast(Any, model).to(dtype)
    whole = model._no_split_modules
    memory = get_balanced_memory(model, free_gpu_bytes(), no_split_module_classes=whole, dtype=dtype)
    places = infer_auto_device_map(model, memory, no_split_module_classes=whole, dtype=dtype)
    placed = dispatch_model(model, places, skip_keys=getattr(model, "_skip_keys_device_placement", None))
    return cast(PreTrainedModel, placed)


def devices_of(model: nn.Module) -> tuple[str, ...]:
    """Name the devices that a model is spread over, in the order of its layers; none where it is not."""
    if isinstance(model, SpreadReader):
        return model.devices
    places = dict.fromkeys((getattr(model, "hf_device_map", None) or {}).values())
    return tuple(f"cuda:{place}" if isinstance(place, int) else str(place) for place in places) * (
        len(places) > 1
    )


class SpreadReader(nn.Module):
    """What reads a prompt with a model that is spread: the model itself, as far as it is read.

    Held outside the tree of modules, it has no parameters of its own, and whoever moves or copies
    a hybrid leaves it where it is. layer: see reading.py. Its states come to the device that the ids
    are on.
    """

    def __init__(self, llm: PreTrainedModel, layer: ReadLayers) -> None:
        super().__init__()
        self.config, self.devices = llm.config.get_text_config(), devices_of(llm)
        reader: Any = llm.get_encoder() if llm.config.is_encoder_decoder else llm.base_model
        object.__setattr__(self, "_reader", reader.requires_grad_(False).eval())
        object.__setattr__(self, "_blocks", [_block(reader, number) for number in layer_numbers(layer)])

    def __deepcopy__(self, _: dict[int, Any]) -> "SpreadReader":
        return self

    def get_input_embeddings(self) -> nn.Module:
        """Give those of the prompt's ids."""
        return cast(nn.Module, self.__dict__["_reader"].get_input_embeddings())

    @torch.no_grad()
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> BaseModelOutput:
        """Read (B, S) ids: (B, S, k * d_llm) hidden states of k layers."""
        reader, blocks = self.__dict__["_reader"], self.__dict__["_blocks"]
        first: torch.device = cast(Any, self.get_input_embeddings()).weight.device
        device = input_ids.device if first.type == "meta" else first
        inputs = {"input_ids": input_ids.to(device), "attention_mask": attention_mask.to(device)}
        states = _outputs(reader, blocks, inputs) if blocks else [reader(**inputs).last_hidden_state]
        return BaseModelOutput(last_hidden_state=torch.cat([s.to(input_ids.device) for s in states], dim=-1))


class _Read(Exception):
    """The last block that is read has run; those behind it need not."""


def _outputs(
    reader: nn.Module, blocks: Sequence[nn.Module], inputs: Mapping[str, torch.Tensor | None]
) -> list[torch.Tensor]:
    """Run a model up to the last of these blocks: what each of them gives, (B, S, D); no other is held.

    Hooks serve where blocks are compiled, which they stand outside of, and in a graph that is captured:
    nothing here looks at a value.
    """
    states: list[torch.Tensor] = []
    reading_thread = threading.get_ident()

    def keep(block: nn.Module, _: Any, output: Any) -> None:
        if threading.get_ident() != reading_thread:
            return  # another's answer runs through the same block
        states.append(output[0] if isinstance(output, tuple) else output)
        if block is blocks[-1]:
            raise _Read

    hooks = [block.register_forward_hook(keep) for block in blocks]
    try:
        reader(**inputs)
    except _Read:
        return states
    finally:
        for hook in hooks:
            hook.remove()
    raise AssertionError("a block was not run")


def _block(reader: nn.Module, layer: int) -> nn.Module:
    """Find block `layer`, counted from 1. Raises ValueError when there is none."""
    count = int(cast(Any, reader).config.num_hidden_layers)
    if not 1 <= layer <= count:
        raise ValueError(f"layer is {layer}; the LLM has blocks 1 to {count}")
    lists = (part for part in reader.modules() if isinstance(part, nn.ModuleList) and len(part) == count)
    return next(lists)[layer - 1]
