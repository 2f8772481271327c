"""Quality of a pair over files of examples, and of the hybrid misled: the figures of the model cards.

It runs transformers' generate() in batches and times nothing; `hybrid bench` does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hybrid.metrics import main_metric, score
from hybrid.models.bundle import Bundle
from hybrid.models.pair import Hybrid
from hybrid.schema import Model, Notice, Observer, Score, Status, silent
from hybrid.suites.files import file_name, load_examples
from hybrid.suites.rows import remarks
from hybrid.training.batches import by_length, padded

BATCH = 25
CONTROL = "hybrid, another prompt's latent"


@dataclass(frozen=True)
class Evaluated:
    """One system's score on one file. system: one of SYSTEMS, or CONTROL."""

    file: str
    system: str
    score: Score
    cut_prompts: int
    outputs: tuple[str, ...]


def quality(
    bundle: Bundle,
    files: Sequence[Path],
    task: str,
    models: Sequence[Model],
    control: bool = False,
    limit: int = 500,
    max_new_tokens: int = 128,
    columns: Mapping[str, str] | None = None,
    observer: Observer = silent,
) -> Iterator[Evaluated]:
    """Score the first `limit` examples of each file; BLEU for translation, ROUGE-L for summaries.

    control: also the hybrid fed with the LLM's hidden states of the next prompt in the file.
    Files are read as a suite `file:PATH` is, all of them before any is answered. Raises SuiteError, with
    file and line, for what is none. observer: told of each file, and what to know of its texts.
    """
    for path, examples in [(path, load_examples(path, columns, limit)) for path in files]:
        observer(Status(sentence=file_name(path)))
        for sentence in remarks(examples, task):
            observer(Notice(sentence=f"{file_name(path)}: {sentence}"))
        sources = [example.source for example in examples]
        references = [example.references for example in examples]
        runs: list[tuple[Model, bool]] = [(model, False) for model in models]
        if control:
            runs.append(("hybrid", True))
        for model, swapped in runs:
            outputs, cut = _answers(bundle, model, task, sources, max_new_tokens, swapped)
            corpus_score = score(main_metric(task).name, outputs, references)
            yield Evaluated(file_name(path), CONTROL if swapped else model, corpus_score, cut, tuple(outputs))


@torch.inference_mode()
def _answers(
    bundle: Bundle, model: Model, task: str, sources: Sequence[str], max_new_tokens: int, swapped: bool
) -> tuple[list[str], int]:
    codec = bundle.codec(model)
    generate: Any = bundle.model(model).generate
    prompts = codec.encode(task, sources, truncate=True)
    answers = [""] * len(prompts)
    for rows, ids in by_length([prompt.token_ids for prompt in prompts], lambda _: BATCH):
        inputs = {"input_ids": ids, "attention_mask": ids.ne(codec.reader_pad_id).long()}
        if swapped:
            others = [prompts[(i + 1) % len(prompts)].token_ids for i in rows]
            inputs["llm_hidden_states"] = _foreign_latent(bundle.hybrid, others, ids.shape[1])
        generated = generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1)
        for i, written in zip(rows, generated.tolist(), strict=True):
            answers[i] = codec.decode(written)
    return answers, sum(prompt.truncated for prompt in prompts)


def _foreign_latent(pair: Hybrid, others: Sequence[tuple[int, ...]], width: int) -> torch.Tensor:
    """Hidden states of other prompts, repeated or cut to `width`, (B, width, d_llm)."""
    ids = padded(others)
    states = pair.read(ids, ids.ne(0).long())
    rows = [state[torch.arange(width) % len(other)] for state, other in zip(states, others, strict=True)]
    return torch.stack(rows)
