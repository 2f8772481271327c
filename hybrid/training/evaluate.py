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
from hybrid.training.batches import by_length

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
    codec, writer = bundle.codec(model), bundle.model(model)
    generate: Any = writer.generate
    prompts = codec.encode(task, sources, truncate=True)
    # A language model's answer goes on where its prompt ends, so that all prompts of a batch end together.
    continues = model != "hybrid" and not writer.config.is_encoder_decoder
    answers = [""] * len(prompts)
    for rows, _ in by_length([prompt.token_ids for prompt in prompts], lambda _: BATCH):
        ids, mask = _batch([prompts[i].token_ids for i in rows], codec.reader_pad_id, continues)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if swapped:
            others = [prompts[(i + 1) % len(prompts)].token_ids for i in rows]
            inputs["llm_hidden_states"] = _foreign_latent(bundle.hybrid, others, ids.shape[1])
        generated = generate(
            **inputs, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1,
            eos_token_id=codec.eos_id, pad_token_id=codec.pad_id,
        )  # fmt: skip
        start = ids.shape[1] if continues else 0
        for i, written in zip(rows, generated[:, start:].tolist(), strict=True):
            answers[i] = codec.decode(written)
    return answers, sum(prompt.truncated for prompt in prompts)


def _batch(
    prompts: Sequence[tuple[int, ...]], pad_id: int, left: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, (B, S) each. left: whether the padding stands before a prompt."""
    width = max(map(len, prompts))
    ids, mask = (torch.full((len(prompts), width), value) for value in (pad_id, 0))
    for row, prompt in enumerate(prompts):
        place = slice(width - len(prompt), width) if left else slice(len(prompt))
        ids[row, place] = torch.tensor(prompt)
        mask[row, place] = 1
    return ids, mask


def _foreign_latent(pair: Hybrid, others: Sequence[tuple[int, ...]], width: int) -> torch.Tensor:
    """Hidden states of other prompts, repeated or cut to `width`, (B, width, d_llm)."""
    states = pair.read(*_batch(others, 0))
    rows = [state[torch.arange(width) % len(other)] for state, other in zip(states, others, strict=True)]
    return torch.stack(rows)
