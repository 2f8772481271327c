"""Models of a recipe: new ones, pretrained ones, and those of earlier stages."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from hybrid.errors import RecipeError
from hybrid.format import parameters, size
from hybrid.models.architectures import configuration, new_model
from hybrid.models.pair import Hybrid
from hybrid.models.pair_format import Role
from hybrid.models.reading import needs_several
from hybrid.schema import Device
from hybrid.sizing.memory import free_bytes
from hybrid.training.checkpoint import CHECKPOINT, MODEL, load_weights
from hybrid.training.data import one_tokenizer, prepared_texts
from hybrid.training.lora import add_adapters, merge_adapters, trained_alone
from hybrid.training.parts import Shape, read_layers
from hybrid.training.recipe import PRETRAINED, Recipe, Stage
from hybrid.training.sources import checkpoint_of, pretrained

CPU = torch.device("cpu")
# A weight in float32; with its gradient and momentum where it is trained.
FROZEN_BYTES, TRAINED_BYTES = 4, 12


def untrained(shape: Shape, vocab_size: int, pad: int = 0, eos: int = 1) -> PreTrainedModel:
    """Build a model of a recipe's shape with its family's own initialization. Raises RecipeError."""
    try:
        return new_model(configuration(shape.settings(vocab_size, pad, eos)))
    except ValueError as error:
        raise RecipeError(f"No model has the recipe's sizes: {error}.") from error


def first_model(recipe: Recipe, role: Role) -> PreTrainedModel:
    """Build the LLM or the SLM as it is before any stage."""
    part = recipe.part(role)
    if part.reference is not None:
        return pretrained(part.reference, role)
    assert part.shape is not None
    texts = prepared_texts(recipe, role)
    return untrained(part.shape, texts.vocabulary, texts.pad_id, texts.eos_id)


def build_model(
    recipe: Recipe, stage: Stage, device: torch.device = CPU
) -> tuple[PreTrainedModel, PreTrainedModel | None]:
    """Student, at its starting point, and frozen teacher of a stage. device: see trained()."""
    teacher = trained(recipe, stage.teacher) if stage.teacher else None
    student = _start(recipe, stage)
    if stage.trains == "hybrid":
        assert stage.reads_with is not None  # checked by Stage
        same = teacher is not None and stage.reads_with == stage.teacher
        llm = teacher if same else trained(recipe, stage.reads_with, device)
        assert llm is not None
        student = _pair(recipe, stage, llm, student)
    if teacher is not None:
        _check_one_vocabulary(recipe, stage, teacher, student)
    if stage.dropout is not None:
        _set_dropout(student, stage.dropout)
    if stage.lora is not None:
        add_adapters(_writer(student), stage.lora)
    return student, teacher


def _start(recipe: Recipe, stage: Stage) -> PreTrainedModel:
    """Load the LLM or SLM that a stage starts from."""
    if stage.starts_from is not None and stage.starts_from != PRETRAINED:
        return trained(recipe, stage.starts_from)
    return first_model(recipe, "llm" if stage.trains == "llm" else "slm")


def _writer(student: PreTrainedModel) -> PreTrainedModel:
    return student.slm if isinstance(student, Hybrid) else student


def trained(recipe: Recipe, stage_name: str, device: torch.device = CPU) -> PreTrainedModel:
    """Load the model of an earlier stage, with its latest weights; or the LLM as it is named.

    device: where it will read; an LLM as it is named that does not fit there is spread over all GPUs.
    """
    if stage_name == PRETRAINED:
        return _untouched(recipe, device)
    stage, checkpoint = recipe.stage(stage_name), _checkpoint_of(recipe, stage_name)
    role: Role = "llm" if stage.trains == "llm" else "slm"
    model = first_model(recipe, role) if stage.lora is None else _start(recipe, stage)
    if stage.trains == "hybrid":
        assert stage.reads_with is not None
        model = _pair(recipe, stage, trained(recipe, stage.reads_with, device), model)
    if stage.lora is not None:
        add_adapters(_writer(model), stage.lora)
    load_weights(checkpoint, checkpoint_tensors(model))
    if stage.lora is not None:
        merge_adapters(_writer(model))
    model.train(False)
    return model


def _untouched(recipe: Recipe, device: torch.device) -> PreTrainedModel:
    """Load the LLM that no stage has trained."""
    reference, dtype = recipe.llm.reference, recipe.llm.dtype or "float32"
    if reference is None:
        model = first_model(recipe, "llm")
    elif spreads(recipe, device):
        model = pretrained(reference, "llm", recipe.llm.dtype or "bfloat16", "auto")
    else:
        model = pretrained(reference, "llm", dtype)
    model.train(False)
    return model


def spreads(recipe: Recipe, device: torch.device) -> bool:
    """Tell whether the LLM, as it is named, is spread over several GPUs, as it fits on `device` no more."""
    reference = recipe.llm.reference
    if reference is None or device.type != "cuda" or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return False  # the other GPUs have processes of their own
    return needs_several(checkpoint_of(reference, "llm").parameters, recipe.llm.dtype or "bfloat16")


def trainable(student: PreTrainedModel) -> dict[str, nn.Parameter]:
    """Return what a stage changes: an LLM or SLM, or its adapters; of a hybrid projector and bridge, too."""
    whole = student.trainable() if isinstance(student, Hybrid) else dict(student.named_parameters())
    return trained_alone(whole)


def checkpoint_tensors(student: PreTrainedModel) -> dict[str, Any]:
    """Return what a checkpoint holds: what is trained, and how a projector standardizes."""
    buffers = student.projector.named_buffers(prefix="projector") if isinstance(student, Hybrid) else ()
    return trainable(student) | dict(buffers)


def check_memory(recipe: Recipe, stages: Sequence[Stage], device: torch.device) -> None:
    """Raise RecipeError when the weights of a stage alone take more memory than is free."""
    free = free_bytes(Device(device.type, device.index)) if device.type in ("cpu", "cuda") else None
    for stage in stages:
        count = _count(recipe, "llm" if stage.trains == "llm" else "slm")
        needed = count * (TRAINED_BYTES if stage.lora is None else FROZEN_BYTES)
        if stage.teacher or (stage.reads_with and not _reads_elsewhere(recipe, stage, device)):
            untouched = PRETRAINED in (stage.teacher, stage.reads_with)
            short = recipe.llm.dtype == "bfloat16" and untouched
            needed += _count(recipe, "llm") * FROZEN_BYTES // (2 if short else 1)
        if free is not None and needed > free:
            raise RecipeError(
                f"Stage {stage.name!r} trains {parameters(count)} parameters, which takes at least "
                f"{size(needed)} of memory, and {size(free)} are free on {device}; "
                "make d_model, d_ff, heads, layers or vocab_size smaller, or take a smaller model."
            )


def _reads_elsewhere(recipe: Recipe, stage: Stage, device: torch.device) -> bool:
    """Tell whether the LLM that a stage reads with takes no memory of the device that trains alone."""
    return stage.reads_with == PRETRAINED and spreads(recipe, device)


def _count(recipe: Recipe, role: Role) -> int:
    """Count a model's parameters."""
    part = recipe.part(role)
    if part.reference is not None:
        return checkpoint_of(part.reference, role).parameters
    assert part.shape is not None
    return part.shape.parameters(part.vocab_size or recipe.vocab_size or 0)


def _pair(recipe: Recipe, stage: Stage, llm: PreTrainedModel, slm: PreTrainedModel) -> Hybrid:
    reading = recipe.reading(stage)
    bridge = not one_tokenizer(recipe) if reading.bridge is None else reading.bridge
    try:
        return Hybrid.from_parts(
            llm, slm, reading.fusion, read_layers(reading.layer), bridge, reading.standardize
        )
    except ValueError as error:
        raise RecipeError(f"No hybrid is made of these models: {error}.") from error


def _check_one_vocabulary(
    recipe: Recipe, stage: Stage, teacher: PreTrainedModel, student: PreTrainedModel
) -> None:
    writer = student.slm if isinstance(student, Hybrid) else student
    sizes = [int(model.config.get_text_config().vocab_size) for model in (teacher, writer)]
    same_tokenizer = stage.trains == "llm" or one_tokenizer(recipe)
    if sizes[0] != sizes[1] or not same_tokenizer:
        raise RecipeError(
            f"Stage {stage.name!r}: KL needs one vocabulary, and the teacher has {sizes[0]:,} ids, the "
            f"student {sizes[1]:,} of another tokenizer; take answers_of in the place of teacher and "
            "kl_weight."
        )


def _set_dropout(model: PreTrainedModel, share: float) -> None:
    """Set the dropout of every part of the model that has one."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        for name in ("dropout", "attention_dropout"):  # of families that call a function
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def _checkpoint_of(recipe: Recipe, stage_name: str) -> Path:
    checkpoint = recipe.out / stage_name / CHECKPOINT
    if not (checkpoint / MODEL).is_file():
        raise RecipeError(f"Stage {stage_name!r} has no weights in {checkpoint}; train it first.")
    return checkpoint
