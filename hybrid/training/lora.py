"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685) in the place of all of a large model's weights.

A stage with `lora` trains them alone: two matrices of a small rank beside every linear layer but
the output's. They need no gradients and no moments of the model itself, which is most of the memory that
training one above a billion parameters takes. What follows the stage gets a plain model: they
are added to its weights (peft).
"""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any
from warnings import catch_warnings, filterwarnings

from torch import nn
from transformers import PreTrainedModel

from hybrid.errors import RecipeError
from hybrid.training.recipe import Stage

ALPHA = 2  # what they give is scaled by it, whatever their rank
ADAPTER = ".lora_"  # in the names of their parameters


def check_lora(stages: Iterable[Stage]) -> None:
    """Raise RecipeError when a stage asks for adapters and peft is not here."""
    for stage in stages:
        if stage.lora is not None and find_spec("peft") is None:
            raise RecipeError(
                f"Stage {stage.name!r} has lora = {stage.lora}, and the package peft is not installed; "
                "pip install 'hybrid-bench[lora]' brings it."
            )


def add_adapters(model: PreTrainedModel, rank: int) -> None:
    """Put adapters beside every linear layer, which change nothing until trained; freeze the rest."""
    from peft import LoraConfig, inject_adapter_in_model

    settings: Any = {"r": rank, "lora_alpha": ALPHA * rank, "target_modules": "all-linear"}
    with catch_warnings():
        filterwarnings(
            "ignore", "fan_in_fan_out is set to False", UserWarning
        )  # GPT-2's layers lie otherwise
        inject_adapter_in_model(LoraConfig(**settings), model)


def merge_adapters(model: PreTrainedModel) -> None:
    """Add what the adapters have come to to the weights, and take them out."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for owner in list(model.modules()):
        for name, part in list(owner.named_children()):
            if isinstance(part, BaseTunerLayer):
                part.merge()
                setattr(owner, name, part.get_base_layer())
    del model.peft_config  # it would be taken for a model with adapters
    model.requires_grad_(True)


def trained_alone(named: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Leave out what adapters have frozen; all of it where there are none."""
    if not any(ADAPTER in name for name in named):
        return named
    return {name: parameter for name, parameter in named.items() if parameter.requires_grad}
