"""A pair of format 1, as the bundled one is: one tokenizer, built-in tasks. The product only reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from hybrid.models.manifest import FORMAT, write_manifest
from hybrid.models.writing import ModelTexts, save_pair
from hybrid.schema import TASKS, Model, PromptFormat


def save_shared_pair(
    folder: Path,
    tokenizer: Path,
    models: Mapping[Model, PreTrainedModel],
    max_prompt_tokens: int,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Write it, in the place of an older one; return its manifest."""
    formats = {name: PromptFormat(task.prefix, eos="</s>") for name, task in TASKS.items()}
    texts = ModelTexts(tokenizer=tokenizer, eos="</s>", pad="<pad>", formats=formats)
    manifest = save_pair(
        folder, {"llm": texts, "slm": texts}, TASKS.values(), models, max_prompt_tokens, about
    )
    shared = {name: manifest[name] for name in ("name", "max_prompt_tokens", "parameters", "about")}
    return write_manifest(folder, {"format": FORMAT, "tasks": list(TASKS)} | shared)
