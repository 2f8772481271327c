"""Sequence-level distillation: training targets written by the LLM (Kim and Rush 2016, arXiv 1606.07947).

The sources stay; each reference is replaced by the trained LLM's greedy answer.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from hybrid.models.batches import by_length
from hybrid.training.data import save_rows
from hybrid.training.models import trained
from hybrid.training.recipe import Recipe, prepared

SOURCE_TOKENS_PER_BATCH = 16384


def distilled(recipe: Recipe, teacher: str, device: torch.device) -> Path:
    """Return the training data with the answers of stage `teacher`, written on first use."""
    path = prepared(recipe).with_name(f"answers-of-{teacher}.npz")
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


@torch.inference_mode()
def _answers(model: PreTrainedModel, sources: list[NDArray[np.int64]], longest: int) -> list[list[int]]:
    """Greedy answers, ends of sequence included; one that did not end is cut there."""
    generate: Any = model.generate
    answers: list[list[int]] = [[] for _ in sources]
    for rows, ids in by_length(sources, lambda shortest: max(1, SOURCE_TOKENS_PER_BATCH // shortest)):
        ids = ids.to(model.device)
        made = generate(
            input_ids=ids,
            attention_mask=ids.ne(0).long(),
            max_new_tokens=longest,
            do_sample=False,
            num_beams=1,
        )
        eos = int(model.config.eos_token_id)
        for i, answer in zip(rows, made[:, 1:].tolist(), strict=True):
            end = answer.index(eos) if eos in answer else longest - 1
            answers[i] = [*answer[:end], eos]
    return answers
