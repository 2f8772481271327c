"""Sequence-level distillation: the answers of a recipe's LLM in the place of the references.

Kim and Rush 2016, arXiv 1606.07947.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from hybrid.models.pair import Hybrid
from hybrid.training.batches import by_length, mask_of
from hybrid.training.data import one_tokenizer, roles, rows_of, save_rows, texts_of
from hybrid.training.models import trained
from hybrid.training.recipe import Recipe, prepared
from hybrid.training.stage_module import is_encoder_decoder
from hybrid.training.stages import PRETRAINED, Stage

SOURCE_TOKENS_PER_BATCH, ON_GPU = 16384, 131072


def distilled(recipe: Recipe, stage: Stage, device: torch.device) -> Path:
    """Return the training data with the answers of the LLM that a stage names, written on first use.

    The sources stay, each reference is replaced by the trained LLM's greedy answer, in the ids of
    the LLM and in those of an SLM with a tokenizer of its own.
    """
    teacher = stage.answers_of
    assert teacher is not None
    folder = prepared(recipe).parent if teacher == PRETRAINED else recipe.out / teacher
    path = folder / f"answers{'' if stage.answers is None else f'-{stage.answers}'}.npz"
    if path.is_file():  # beside the weights that they follow from
        return path
    model = trained(recipe, teacher)
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    model.to(device, kind)  # type: ignore[arg-type]
    widest = max(width for _, width in recipe.data.buckets)
    with np.load(prepared(recipe)) as arrays:
        stored = {name: arrays[name] for name in arrays}
    chosen = _chosen(len(stored["source_lengths"]), stage.answers, recipe.seed)
    read = rows_of(stored, "source")
    sources = [read[place] for place in chosen]
    answers = greedy_answers(model, sources, widest, texts_of(recipe, "llm").eos_ids)
    sides: dict[str, Sequence[Sequence[int]]] = {"source": [s.tolist() for s in sources], "target": answers}
    if len(roles(recipe)) == 2:
        own = rows_of(stored, "slm_source")
        sides["slm_source"] = [own[place].tolist() for place in chosen]
        sides["slm_target"] = _retokenized(recipe, answers, widest)
    save_rows(path, sides, {name: stored[name][chosen] for name in ("repeats",) if name in stored})
    return path


def _chosen(count: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Places of the examples that are answered, in order."""
    places = np.arange(count)
    if limit is not None and limit < count:
        places = np.sort(np.random.default_rng(seed).permutation(count)[:limit])
    return places


@torch.inference_mode()
def greedy_answers(
    model: PreTrainedModel, sources: Sequence[NDArray[np.int64]], longest: int, eos: Sequence[int]
) -> list[list[int]]:
    """Greedy answers, each ended by the first id of `eos`; one that did not end is cut there."""
    answers: list[list[int]] = [[] for _ in sources]
    tokens = ON_GPU if model.device.type == "cuda" else SOURCE_TOKENS_PER_BATCH
    for places, ids in by_length(sources, lambda shortest: max(1, tokens // shortest)):
        mask = mask_of(ids, [len(sources[place]) for place in places])
        for place, answer in zip(places, generated(model, ids, mask, longest, eos, eos[0]), strict=True):
            end = next((at for at, token in enumerate(answer) if token in eos), longest - 1)
            answers[place] = [*answer[:end], eos[0]]
    return answers


def generated(
    model: PreTrainedModel,
    ids: torch.Tensor,  # (B, S), padded behind the tokens
    mask: torch.Tensor,  # (B, S)
    longest: int,
    eos: Sequence[int],
    pad: int,
    **more: torch.Tensor,
) -> list[list[int]]:
    """Write greedy answers with transformers' generate(): new ids alone, padded behind their ends."""
    generate: Any = model.generate
    alone = not isinstance(model, Hybrid) and not is_encoder_decoder(model)
    if alone:  # padding first, so that answers grow in step
        order = mask.argsort(dim=1, stable=True)
        ids, mask = ids.gather(1, order), mask.gather(1, order)
    outputs = generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=longest,
        do_sample=False,
        num_beams=1,
        eos_token_id=list(eos),
        pad_token_id=pad,
        **more,
    )
    begun = ids.shape[1] if alone else int(is_encoder_decoder(model))
    new: list[list[int]] = outputs[:, begun:].tolist()
    return new


def _retokenized(recipe: Recipe, answers: Sequence[Sequence[int]], widest: int) -> list[list[int]]:
    """Answers in the ids of the SLM, cut where they are too long."""
    if one_tokenizer(recipe):
        return [list(answer) for answer in answers]
    llm, slm = texts_of(recipe, "llm"), texts_of(recipe, "slm")
    texts = llm.backend.decode_batch([list(answer[:-1]) for answer in answers])
    task = max(slm.tasks.values(), key=lambda known: known.lines).name  # whose texts keep what is in them
    rows = slm.encoder.answers((task, text) for text in texts)
    return [[*row[:-1][: widest - 1], slm.eos_id] for row in rows]
