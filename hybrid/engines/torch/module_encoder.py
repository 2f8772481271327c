"""Readers that no file of models/architectures covers, such as BERT: through transformers' own module.

A prompt is read once, in one pass over all its tokens, where what a module costs
beside its products hardly matters; writing never goes this way.
"""

import copy
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from hybrid.engines.decoding import Prompts
from hybrid.engines.torch.encoder import States, prompt_rows
from hybrid.engines.torch.operations import Target
from hybrid.errors import EngineError
from hybrid.format import listed
from hybrid.models.architectures import check_supported
from hybrid.models.fusion import ReadLayers
from hybrid.models.reading import SpreadReader, devices_of, read_states
from hybrid.schema import Phase


class ModuleEncoder:
    """Prompt ids to the hidden states of a module that takes input_ids and attention_mask.

    module: what reads and nothing else, see models/reading.py, as is layer; it is shared where
    it is on the target's device in its type already. embeddings: (V, D), as they are stored.
    """

    phase: Phase | None = "encode"
    embedding_scale = 1.0

    def __init__(
        self, module: PreTrainedModel | SpreadReader, target: Target, layer: ReadLayers = None
    ) -> None:
        if not isinstance(module, SpreadReader) and (module.device, module.dtype) != (
            target.device,
            target.dtype,
        ):
            module = cast(Any, copy.deepcopy(module)).to(target.device, target.dtype)
        self.module, self.layer = module.eval(), layer
        self.target, self.longest = target, _positions(module)
        embeddings: Any = module.get_input_embeddings()
        self.embeddings: torch.Tensor = target.put(embeddings.weight.detach())

    def __call__(self, prompts: Prompts) -> States:
        """Read B prompts. Raises EngineError for one that is longer than the module's table of positions."""
        ids, layout = prompt_rows(prompts, self.target)
        if self.longest is not None and layout.longest > self.longest:
            raise EngineError(
                f"The {type(self.module).__name__} that reads has positions for {self.longest} tokens and a "
                f"prompt has {layout.longest}. Give a shorter prompt."
            )
        lengths = torch.tensor(layout.lengths, device=ids.device)
        mask = torch.arange(layout.longest, device=ids.device) < lengths[:, None]  # (B, S)
        padded = layout.pad(ids[:, None])[..., 0]  # (B, S), a real token at each place of padding
        states = read_states(self.module, self.layer, input_ids=padded, attention_mask=mask.long())
        return States(ids, layout.unpad(states.to(self.target.dtype)), layout)


def _positions(module: nn.Module) -> int | None:
    """Count the tokens that a table of positions has rows for; None without one."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Embedding) and name.endswith("position_embeddings"):
            padding = part.padding_idx  # RoBERTa counts from the row after it
            return part.num_embeddings - (0 if padding is None else padding + 1)
    return None


def not_covered(model: Any) -> str:
    """Say why a model is not packed: it is spread, or no architecture covers it; nothing when it is."""
    if devices := devices_of(model):
        return f"the LLM fits on no GPU alone and lies on {listed(devices)}."
    try:
        check_supported(model.config)
    except EngineError as error:
        return str(error).removesuffix(" Use --engine transformers.")
    return ""
