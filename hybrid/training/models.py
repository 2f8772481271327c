"""Models of a recipe: new ones, and those that earlier stages have trained."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, T5Config, T5ForConditionalGeneration

from hybrid.errors import RecipeError
from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.training.checkpoint import MODEL, load_weights
from hybrid.training.recipe import Recipe, Shape, Stage


def new_t5(shape: Shape, vocab_size: int) -> T5ForConditionalGeneration:
    """Build a T5 v1.1 of a shape with T5's own initialization and tied embeddings."""
    settings: dict[str, Any] = {
        "vocab_size": vocab_size,
        "d_model": shape.d_model,
        "d_ff": shape.d_ff,
        "d_kv": shape.d_kv,
        "num_heads": shape.heads,
        "num_layers": shape.layers,
        "num_decoder_layers": shape.layers,
        "dropout_rate": shape.dropout,
        "feed_forward_proj": "gated-gelu",
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    return T5ForConditionalGeneration(T5Config(**settings))


def build_model(recipe: Recipe, stage: Stage) -> tuple[PreTrainedModel, PreTrainedModel | None]:
    """Student, at its starting point, and frozen teacher of a stage."""
    teacher = trained(recipe, stage.teacher) if stage.teacher else None
    if stage.trains == "llm":
        return _started(recipe, stage, new_t5(recipe.llm, recipe.vocab_size)), teacher
    slm = _started(recipe, stage, new_t5(recipe.slm, recipe.vocab_size))
    if stage.trains == "slm":
        return slm, teacher
    assert stage.reads_with is not None  # checked by Stage
    same = teacher is not None and stage.reads_with == stage.teacher
    llm = teacher if same else trained(recipe, stage.reads_with)
    assert llm is not None
    return HybridForConditionalGeneration.from_parts(llm, slm), teacher


def trained(recipe: Recipe, stage_name: str) -> PreTrainedModel:
    """Load the model of an earlier stage, with its latest weights."""
    stage, checkpoint = recipe.stage(stage_name), _checkpoint_of(recipe, stage_name)
    if stage.trains == "hybrid":
        assert stage.reads_with is not None
        pair = HybridForConditionalGeneration.from_parts(
            trained(recipe, stage.reads_with), new_t5(recipe.slm, recipe.vocab_size)
        )
        load_weights(checkpoint, pair.trainable())
        return pair.train(False)
    model: PreTrainedModel = new_t5(recipe.llm if stage.trains == "llm" else recipe.slm, recipe.vocab_size)
    load_weights(checkpoint, dict(model.named_parameters()))
    model.train(False)
    return model


def _started(recipe: Recipe, stage: Stage, model: T5ForConditionalGeneration) -> T5ForConditionalGeneration:
    if stage.starts_from is not None:
        load_weights(_checkpoint_of(recipe, stage.starts_from), dict(model.named_parameters()))
    return model


def _checkpoint_of(recipe: Recipe, stage_name: str) -> Path:
    checkpoint = recipe.out / stage_name / "checkpoint"
    if not (checkpoint / MODEL).is_file():
        raise RecipeError(f"Stage {stage_name!r} has no weights in {checkpoint}; train it first.")
    return checkpoint
