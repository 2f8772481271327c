"""An LLM that fits on no GPU alone: spread over several by accelerate, and read by a hybrid from there.

A model that fits, or a machine without several GPUs, has nothing to do with it.
"""

from typing import Any, cast

import torch
from accelerate import dispatch_model, infer_auto_device_map
from accelerate.utils import get_balanced_memory
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

SPARE = 0.8  # of a GPU's free memory for weights; the rest is for states and caches


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
    a hybrid leaves it where it is. layer: whose output is taken as it is, see reading.py. Its
    states come to the device that the ids are on.
    """

    def __init__(self, llm: PreTrainedModel, layer: int | None) -> None:
        super().__init__()
        self.config, self.devices = llm.config.get_text_config(), devices_of(llm)
        reader: Any = llm.get_encoder() if llm.config.is_encoder_decoder else llm.base_model
        object.__setattr__(self, "_reader", reader.requires_grad_(False).eval())
        object.__setattr__(self, "_block", None if layer is None else _block(reader, layer))

    def __deepcopy__(self, _: dict[int, Any]) -> "SpreadReader":
        return self

    def get_input_embeddings(self) -> nn.Module:
        """Give those of the prompt's ids."""
        return cast(nn.Module, self.__dict__["_reader"].get_input_embeddings())

    @torch.no_grad()
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> BaseModelOutput:
        """Read (B, S) ids: (B, S, d_llm) hidden states."""
        reader, block = self.__dict__["_reader"], self.__dict__["_block"]
        first: torch.device = cast(Any, self.get_input_embeddings()).weight.device
        device = input_ids.device if first.type == "meta" else first
        inputs = {"input_ids": input_ids.to(device), "attention_mask": attention_mask.to(device)}
        if block is None:
            states = reader(**inputs).last_hidden_state
        else:
            hook = block.register_forward_hook(_stop)
            try:
                reader(**inputs)
                raise AssertionError("a block was not run")
            except _Read as read:
                states = read.states
            finally:
                hook.remove()
        return BaseModelOutput(last_hidden_state=states.to(input_ids.device))


class _Read(Exception):
    """A block has given what is read; those behind it need not run."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def _stop(_: nn.Module, __: Any, output: Any) -> None:
    raise _Read(output[0] if isinstance(output, tuple) else output)


def _block(reader: nn.Module, layer: int) -> nn.Module:
    """Find block `layer`, counted from 1. Raises ValueError when there is none."""
    count = int(cast(Any, reader).config.num_hidden_layers)
    if not 1 <= layer <= count:
        raise ValueError(f"layer is {layer}; the LLM has blocks 1 to {count}")
    lists = (part for part in reader.modules() if isinstance(part, nn.ModuleList) and len(part) == count)
    return next(lists)[layer - 1]
