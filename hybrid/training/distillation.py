"""Sequence-level distillation: the answers of a recipe's LLM in the place of the references.

Kim and Rush 2016, arXiv 1606.07947.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from hybrid.engines.torch.batch_decoder import CAPACITY
from hybrid.engines.torch.engine import TorchEngine
from hybrid.models.architectures import ARCHITECTURES
from hybrid.models.arithmetic import cache_bytes
from hybrid.models.bundle import Bundle
from hybrid.models.pair import Hybrid
from hybrid.models.reading import devices_of
from hybrid.models.shapes import shape_of_config
from hybrid.schema import Device, EncodedPrompt, Sampling
from hybrid.sizing.memory import free_bytes
from hybrid.training.batches import by_length, mask_of
from hybrid.training.data import prepared_texts, rows_of, save_rows
from hybrid.training.export import stage_bundle
from hybrid.training.recipe import PRETRAINED, Recipe, Stage, prepared
from hybrid.training.stage_module import is_encoder_decoder

SOURCE_TOKENS_PER_BATCH, ON_GPU = 16384, 131072
SPARE_TOKENS, MOST_ROWS = 8, 4096
SHARE_OF_FREE_MEMORY = 0.2
LONG_REFERENCE = 0.99  # share of a batch's references that are no longer


def distilled(recipe: Recipe, stage: Stage, device: torch.device) -> Path:
    """Return the training data with the answers of the LLM that a stage names, written on first use.

    The sources stay, each reference is replaced by the trained LLM's greedy answer, in the ids of
    the LLM and in those of an SLM with a tokenizer of its own; with `references` they follow
    behind the answers. An answer that does not end leaves the reference in its place.
    """
    path = _path_of(recipe, stage)
    if path.is_file():  # beside the weights that they follow from
        return path
    assert stage.answers_of is not None
    with np.load(prepared(recipe)) as arrays:
        stored = {name: arrays[name] for name in arrays}
    chosen = _chosen(len(stored["source_lengths"]), stage.answers, recipe.seed)
    references = {side: rows_of(stored, side) for side in stored if f"{side}_lengths" in stored}
    sides = {side: [rows[place].tolist() for place in chosen] for side, rows in references.items()}
    widest = max(width for _, width in recipe.data.buckets)
    bundle = stage_bundle(recipe, [stage.answers_of], device)
    answers = greedy_answers(bundle, sides["source"], sides["target"], widest, device)
    if "slm_target" in sides:
        sides["slm_target"] = _retokenized(recipe, answers, sides["slm_target"], widest)
    sides["target"] = [answer or row for answer, row in zip(answers, sides["target"], strict=True)]
    extra = {"repeats": stored["repeats"][chosen]} if "repeats" in stored else {}
    if stage.references:
        sides = {side: [*rows, *(row.tolist() for row in references[side])] for side, rows in sides.items()}
        extra = {name: np.concatenate([values, stored[name]]) for name, values in extra.items()}
    save_rows(path, sides, extra)
    return path


def _path_of(recipe: Recipe, stage: Stage) -> Path:
    """Name the file of a stage's answers."""
    teacher = stage.answers_of
    folder = prepared(recipe).parent if teacher == PRETRAINED else recipe.out / str(teacher)
    limit = "" if stage.answers is None else f"-{stage.answers}"
    return folder / f"answers{limit}{'-and-references' if stage.references else ''}.npz"


def _chosen(count: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Places of the examples that are answered, in order."""
    places = np.arange(count)
    if limit is not None and limit < count:
        places = np.sort(np.random.default_rng(seed).permutation(count)[:limit])
    return places


def greedy_answers(
    bundle: Bundle,
    sources: Sequence[Sequence[int]],
    references: Sequence[Sequence[int]],
    widest: int,
    device: torch.device,
) -> list[list[int]]:
    """Let the LLM answer prompts, up to the first end of each; an empty answer for what does not end in time.

    The time is half as much again as 99 of 100 references of a batch take, `widest` ids at the most:
    where the longest alone sets it, a batch of thousands waits for few, and holds memory for all.
    """
    eos = bundle.codec("llm").eos_ids
    answers: list[list[int]] = [[] for _ in sources]
    rows = [np.asarray(source) for source in sources]
    write = _writer(bundle, device)
    at_once = _rows_at_once(bundle, device, widest)
    for places, ids in by_length(rows, at_once):
        lengths = [len(references[place]) for place in places]
        longest = int(np.quantile(lengths, LONG_REFERENCE, method="higher")) * 3 // 2 + SPARE_TOKENS
        for place, answer in zip(
            places, write(ids, [len(rows[p]) for p in places], min(longest, widest)), strict=True
        ):
            end = next((at for at, token in enumerate(answer) if token in eos), None)
            if end is not None:
                answers[place] = [*answer[:end], eos[0]]
    return answers


def _rows_at_once(bundle: Bundle, device: torch.device, widest: int) -> Callable[[int], int]:
    """Make what says how many prompts of so many tokens are answered at once, each with `widest` ids at most.

    Their caches take SHARE_OF_FREE_MEMORY of what is free now: other trainings may use the same GPU.
    """
    tokens = ON_GPU if device.type == "cuda" else SOURCE_TOKENS_PER_BATCH
    free = free_bytes(Device(device.type, device.index)) if device.type in ("cpu", "cuda") else None
    try:
        shape = shape_of_config(bundle.name, bundle.model("llm").config.get_text_config().to_dict(), "")
    except (ValueError, KeyError, TypeError):  # a family whose sizes are not known
        free = None
    dtype = "bfloat16" if device.type == "cuda" else "float32"

    def count(shortest: int) -> int:
        most = min(MOST_ROWS, tokens // shortest)
        if free is not None:
            each = cache_bytes(shape, shortest, max(widest, CAPACITY), 1, dtype)
            most = min(most, int(free * SHARE_OF_FREE_MEMORY / each))
        return max(1, most)

    return count


def _writer(
    bundle: Bundle, device: torch.device
) -> Callable[[torch.Tensor, Sequence[int], int], list[list[int]]]:
    """Make what answers (B, S) prompts of these lengths with so many ids: the torch engine where it can."""
    model, codec = bundle.model("llm"), bundle.codec("llm")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if devices_of(model) or model.config.model_type not in ARCHITECTURES:
        if not devices_of(model):
            model.to(device, dtype)  # type: ignore[arg-type]
        return lambda ids, lengths, longest: generated(
            model, ids, mask_of(ids, lengths), longest, codec.eos_ids, codec.eos_id
        )
    engine = TorchEngine(bundle, "llm", device, dtype)

    def write(ids: torch.Tensor, lengths: Sequence[int], longest: int) -> list[list[int]]:
        prompts = [
            EncodedPrompt(token_ids=tuple(row[:length]))
            for row, length in zip(ids.tolist(), lengths, strict=True)
        ]
        answers: list[list[int]] = [[] for _ in prompts]
        for step in engine.generate(prompts, Sampling(max_new_tokens=longest)):
            for answer, new in zip(answers, step.token_ids, strict=False):  # encoding gives no ids
                answer += new
        return answers

    return write


@torch.inference_mode()
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


def _retokenized(
    recipe: Recipe, answers: Sequence[Sequence[int]], references: Sequence[Sequence[int]], widest: int
) -> list[list[int]]:
    """Return answers in the ids of the SLM, references for those empty or too long for a bucket."""
    llm, slm = prepared_texts(recipe, "llm"), prepared_texts(recipe, "slm")
    texts = llm.backend.decode_batch([list(answer[:-1]) for answer in answers])
    task = max(slm.tasks.values(), key=lambda known: known.lines).name  # whose texts keep what is in them
    rows = slm.encoder.answers((task, text) for text in texts)
    return [
        row if answer and len(row) <= widest else list(reference)
        for answer, row, reference in zip(answers, rows, references, strict=True)
    ]
