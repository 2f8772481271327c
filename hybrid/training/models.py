"""Models of a recipe: new ones, those of earlier stages, the answers of these, and the bundle of them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import PreTrainedModel

from hybrid.errors import RecipeError
from hybrid.format import parameters, size
from hybrid.models.architectures import configuration, new_model
from hybrid.models.bundle import save_bundle
from hybrid.models.manifest import file_sha256
from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.schema import MODELS, Device
from hybrid.sizing.memory import free_bytes
from hybrid.training.checkpoint import MODEL, load_weights
from hybrid.training.data import by_length, save_rows, tokenizer_path
from hybrid.training.recipe import Recipe, Shape, Stage, prepared

SOURCE_TOKENS_PER_BATCH = 16384
# A weight in float32; with its gradient and momentum where it is trained.
FROZEN_BYTES, TRAINED_BYTES = 4, 12


def untrained(shape: Shape, vocab_size: int) -> PreTrainedModel:
    """Build a model of a recipe's shape with its family's own initialization. Raises RecipeError."""
    try:
        return new_model(configuration(shape.settings(vocab_size)))
    except ValueError as error:
        raise RecipeError(f"No model has the recipe's sizes: {error}.") from error


def build_model(recipe: Recipe, stage: Stage) -> tuple[PreTrainedModel, PreTrainedModel | None]:
    """Student, at its starting point, and frozen teacher of a stage."""
    teacher = trained(recipe, stage.teacher) if stage.teacher else None
    if stage.trains == "llm":
        return _started(recipe, stage, untrained(recipe.llm, recipe.vocab_size)), teacher
    slm = _started(recipe, stage, untrained(recipe.slm, recipe.vocab_size))
    if stage.trains == "slm":
        return slm, teacher
    assert stage.reads_with is not None  # checked by Stage
    same = teacher is not None and stage.reads_with == stage.teacher
    llm = teacher if same else trained(recipe, stage.reads_with)
    assert llm is not None
    return HybridForConditionalGeneration.from_parts(llm, slm), teacher


def check_memory(recipe: Recipe, stages: Sequence[Stage], device: torch.device) -> None:
    """Raise RecipeError when the weights of a stage alone take more memory than is free."""
    free = free_bytes(Device(device.type, device.index)) if device.type in ("cpu", "cuda") else None
    for stage in stages:
        student = recipe.llm if stage.trains == "llm" else recipe.slm
        count = student.parameters(recipe.vocab_size)
        needed = count * TRAINED_BYTES
        if stage.reads_with or stage.teacher:
            needed += recipe.llm.parameters(recipe.vocab_size) * FROZEN_BYTES
        if free is not None and needed > free:
            raise RecipeError(
                f"Stage {stage.name!r} trains {parameters(count)} parameters, which takes at least "
                f"{size(needed)} of memory, and {size(free)} are free on {device}; "
                "make d_model, d_ff, heads, layers or vocab_size smaller."
            )


def trained(recipe: Recipe, stage_name: str) -> PreTrainedModel:
    """Load the model of an earlier stage, with its latest weights."""
    stage, checkpoint = recipe.stage(stage_name), _checkpoint_of(recipe, stage_name)
    if stage.trains == "hybrid":
        assert stage.reads_with is not None
        pair = HybridForConditionalGeneration.from_parts(
            trained(recipe, stage.reads_with), untrained(recipe.slm, recipe.vocab_size)
        )
        load_weights(checkpoint, pair.trainable())
        return pair.train(False)
    model = untrained(recipe.llm if stage.trains == "llm" else recipe.slm, recipe.vocab_size)
    load_weights(checkpoint, dict(model.named_parameters()))
    model.train(False)
    return model


def distilled(recipe: Recipe, teacher: str, device: torch.device) -> Path:
    """Return the training data with the answers of stage `teacher`, written on first use.

    Sequence-level distillation (Kim and Rush 2016, arXiv 1606.07947): the sources stay,
    each reference is replaced by the trained LLM's greedy answer.
    """
    path = recipe.out / teacher / "answers.npz"  # beside the weights that they follow from
    if not path.is_file():
        model = trained(recipe, teacher)
        model.to(device)  # type: ignore[arg-type]
        widest = max(width for _, width in recipe.data.buckets)
        with np.load(prepared(recipe)) as arrays:
            ends = np.cumsum(arrays["source_lengths"], dtype=np.int64)
            sources = np.split(arrays["source"].astype(np.int64), ends[:-1])
        save_rows(
            path, [(s.tolist(), t) for s, t in zip(sources, _answers(model, sources, widest), strict=True)]
        )
    return path


def export(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Write the recipe's trained systems to `folder` as int8; returns the manifest."""
    models = {system: trained(recipe, recipe.bundle[system]) for system in MODELS}
    tasks = tuple(dict.fromkeys(corpus.task for corpus in recipe.data.train))
    about = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "stages": {system: _history(recipe, recipe.bundle[system]) for system in MODELS},
        "training_data": _size_of_data(recipe),
        "exported_with": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    return save_bundle(folder, tokenizer_path(recipe), models, recipe.data.max_source, tasks, about)


def _started(recipe: Recipe, stage: Stage, model: PreTrainedModel) -> PreTrainedModel:
    if stage.starts_from is not None:
        load_weights(_checkpoint_of(recipe, stage.starts_from), dict(model.named_parameters()))
    return model


def _checkpoint_of(recipe: Recipe, stage_name: str) -> Path:
    checkpoint = recipe.out / stage_name / "checkpoint"
    if not (checkpoint / MODEL).is_file():
        raise RecipeError(f"Stage {stage_name!r} has no weights in {checkpoint}; train it first.")
    return checkpoint


@torch.inference_mode()
def _answers(model: PreTrainedModel, sources: list[NDArray[np.int64]], longest: int) -> list[list[int]]:
    """Greedy answers, ends of sequence included; one that did not end is cut there."""
    generate: Any = model.generate
    answers: list[list[int]] = [[] for _ in sources]
    for rows, ids in by_length(sources, lambda shortest: max(1, SOURCE_TOKENS_PER_BATCH // shortest)):
        ids = ids.to(model.device)
        generated = generate(
            input_ids=ids,
            attention_mask=ids.ne(0).long(),
            max_new_tokens=longest,
            do_sample=False,
            num_beams=1,
        )
        eos = int(model.config.eos_token_id)
        for i, answer in zip(rows, generated[:, 1:].tolist(), strict=True):
            end = answer.index(eos) if eos in answer else longest - 1
            answers[i] = [*answer[:end], eos]
    return answers


def _history(recipe: Recipe, stage: str) -> dict[str, Any]:
    """Read steps, time and last held-out losses of a stage and of those it started from, from their logs."""
    events = list(_events(recipe.out / stage / "log.jsonl"))
    dev = [e["values"] for e in events if e["kind"] == "dev"]
    rates = sorted(e["values"]["tokens_per_s"] for e in events if e["kind"] == "progress")
    start = recipe.stage(stage).starts_from
    return {
        "stage": stage,
        **({"starts_from": _history(recipe, start)} if start else {}),
        "steps": events[-1]["step"],
        "tokens_per_step": recipe.stage(stage).tokens_per_step,
        "median_padded_tokens_per_s": round(rates[len(rates) // 2]) if rates else None,
        "device_hours": sum(_hours_of_sessions(events)),
        "dev_losses_nats_per_token": dev[-1] if dev else None,
    }


def _events(log: Path) -> Iterator[dict[str, Any]]:
    """Read a stage's log, but for lines that a kill or a full disk has torn."""
    for line in log.read_bytes().splitlines():
        with suppress(ValueError):
            yield json.loads(line)


def _hours_of_sessions(events: list[dict[str, Any]]) -> list[float]:
    """Device hours of each session of a stage that was stopped and resumed, as last logged."""
    hours: list[float] = []
    for event in events:
        if event["kind"] == "start" or not hours:
            hours.append(0.0)
        elif "device_hours" in event["values"]:
            hours[-1] = event["values"]["device_hours"]
    return hours


def _size_of_data(recipe: Recipe) -> dict[str, Any]:
    arrays = np.load(prepared(recipe))
    lengths = {side: arrays[f"{side}_lengths"] for side in ("source", "target")}
    return {
        "examples": len(lengths["source"]),
        **{f"{side}_tokens": int(values.sum(dtype=np.int64)) for side, values in lengths.items()},
        "sha256": file_sha256(prepared(recipe)),
    }
