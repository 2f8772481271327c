"""Quality and speed of a pair over files of examples: the figures of the model cards.

`quality` runs transformers' generate() in batches and times nothing; `speed`
runs the engines one prompt at a time, system after system, and scores nothing.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from hybrid.engines.torch_engine import TorchEngine
from hybrid.errors import InputError
from hybrid.measure import timed, warm_up
from hybrid.metrics import metrics_of, score
from hybrid.model.bundle import Bundle
from hybrid.model.pair import HybridForConditionalGeneration
from hybrid.model.prompt import encode_prompt
from hybrid.schema import Generation, Sampling, Score, System
from hybrid.suites.files import read_examples

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
    systems: Sequence[System],
    control: bool = False,
    limit: int = 500,
    max_new_tokens: int = 128,
) -> Iterator[Evaluated]:
    """Score the first `limit` lines of each file; BLEU for translation, ROUGE-L for summaries.

    control: also the hybrid fed with the LLM's hidden states of the next prompt in the file.
    """
    for path in files:
        examples = list(islice(read_examples(path), limit))
        sources = [example.source for example in examples]
        references = [example.references for example in examples]
        runs = [(system, False) for system in systems] + ([("hybrid", True)] if control else [])
        for system, swapped in runs:
            outputs, cut = _answers(bundle, system, task, sources, max_new_tokens, swapped)
            found = score(metrics_of(task)[0], outputs, references)
            yield Evaluated(path.name, CONTROL if swapped else system, found, cut, tuple(outputs))


def speed(
    bundle: Bundle,
    path: Path,
    task: str,
    systems: Sequence[System],
    limit: int = 500,
    max_new_tokens: int = 128,
    threads: int = 1,
) -> Iterator[Mapping[System, Generation]]:
    """Each prompt answered by every system in turn, measured, after a warm-up that is dropped.

    Interleaved, so that a machine that slows down slows all systems alike. Every
    system writes to its own natural end.
    """
    engines = {system: TorchEngine(bundle, system, threads=threads) for system in systems}
    for engine in engines.values():
        warm_up(engine, task)
    for example in islice(read_examples(path), limit):
        row: dict[System, Generation] = {}
        for system, engine in engines.items():
            sampling = Sampling(max_new_tokens, truncate=True)
            (row[system],) = timed(engine.generate(task, [example.source], sampling), system)
        yield row


def speedups(rows: Sequence[Mapping[System, Generation]], baseline: System) -> dict[System, dict[str, float]]:
    """Medians over prompts of each system's paired ratios to the baseline; above 1 is faster.

    per_token: ratio of times per output token, over prompts where both wrote
    at least two; end_to_end: ratio of total times. Raises InputError without rows.
    """
    if not rows:
        raise InputError("There are no measured prompts to compare.")
    found: dict[System, dict[str, float]] = {}
    for system in rows[0]:
        pairs = [(row[baseline].timing, row[system].timing) for row in rows]
        tokens = [a.tpot_s / b.tpot_s for a, b in pairs if a.tpot_s and b.tpot_s]
        found[system] = {
            "tpot_ms": 1000 * statistics.median(b.tpot_s for _, b in pairs if b.tpot_s),
            "ttft_ms": 1000 * statistics.median(b.ttft_s for _, b in pairs),
            "total_ms": 1000 * statistics.median(b.total_s for _, b in pairs),
            "per_token": statistics.median(tokens),
            "end_to_end": statistics.median(a.total_s / b.total_s for a, b in pairs),
        }
    return found


@torch.inference_mode()
def _answers(
    bundle: Bundle, system: System, task: str, sources: Sequence[str], max_new_tokens: int, swapped: bool
) -> tuple[list[str], int]:
    tokenizer = bundle.tokenizer
    generate: Any = bundle.model(system).generate
    prompts = [
        encode_prompt(tokenizer, task, text, bundle.max_prompt_tokens, truncate=True) for text in sources
    ]
    answers = [""] * len(prompts)
    order = sorted(
        range(len(prompts)), key=lambda i: len(prompts[i].ids)
    )  # like lengths together: less padding
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        ids = _padded([prompts[i].ids for i in rows])
        inputs = {"input_ids": ids, "attention_mask": ids.ne(0).long()}
        if swapped:
            others = [prompts[(i + 1) % len(prompts)].ids for i in rows]
            inputs["llm_hidden_states"] = _foreign_latent(bundle.hybrid, others, ids.shape[1])
        made = generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1)
        for i, text in zip(rows, tokenizer.batch_decode(made, skip_special_tokens=True), strict=True):
            answers[i] = text
    return answers, sum(prompt.total_tokens > len(prompt.ids) for prompt in prompts)


def _foreign_latent(
    pair: HybridForConditionalGeneration, others: Sequence[tuple[int, ...]], width: int
) -> torch.Tensor:
    """Hidden states of other prompts, repeated or cut to `width`, (B, width, d_llm)."""
    ids = _padded(others)
    states = pair.read(ids, ids.ne(0).long())
    rows = [state[torch.arange(width) % len(other)] for state, other in zip(states, others, strict=True)]
    return torch.stack(rows)


def _padded(rows: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """(B, S) ids, padded with 0 at the end."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
