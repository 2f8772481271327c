"""Quality of a pair over files of examples, and of the hybrid misled: the figures of the model cards.

It runs transformers' generate() in batches and times nothing; `hybrid bench` does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from hybrid.errors import PairError
from hybrid.format import listed
from hybrid.metrics import main_metric, score
from hybrid.models.bundle import Bundle
from hybrid.models.context import check_room, contexts_of
from hybrid.models.pair import Hybrid
from hybrid.models.reading import devices_of
from hybrid.schema import MODELS, Example, Model, Notice, Observer, Score, Status, Task, silent
from hybrid.suites.files import file_name, load_examples
from hybrid.suites.rows import remarks
from hybrid.training.batches import by_length, mask_of, padded
from hybrid.training.distillation import generated

BATCH, BATCH_ON_GPU = 25, 256
# What the hybrid is fed with in the place of what its LLM has read of the prompt.
CONTROLS: Mapping[str, str] = {
    "mismatched": "hybrid, another prompt's latent",
    "constant": "hybrid, a constant latent",
    "zero": "hybrid, a zero latent",
}


@dataclass(frozen=True)
class Evaluated:
    """One system's score on one file. system: one of SYSTEMS, or a value of CONTROLS."""

    file: str
    system: str
    score: Score
    cut_prompts: int
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The examples of one file. name: without its folders."""

    name: str
    examples: tuple[Example, ...]


def read_tables(
    files: Sequence[Path], columns: Mapping[str, str] | None = None, limit: int = 500
) -> tuple[Table, ...]:
    """Read the first `limit` examples of each file, as a suite `file:PATH` is read.

    Raises SuiteError, with file and line, for what is none.
    """
    return tuple(Table(file_name(path), load_examples(path, columns, limit)) for path in files)


def quality(
    bundle: Bundle,
    tables: Sequence[Table],
    task: Task,
    models: Sequence[Model],
    controls: Sequence[str] = (),
    max_new_tokens: int = 128,
    device: str = "cpu",
    observer: Observer = silent,
) -> Iterator[Evaluated]:
    """Score the answers to the examples of each table; BLEU for translation, ROUGE-L for summaries.

    controls: of CONTROLS, also the hybrid with these: the LLM's hidden states of the next prompt in the
    table, their mean over its prompts at every token, or zeros. device: of torch; on a GPU in bfloat16.
    Raises PairError where the bundle lacks a model. observer: told of each table, and what to know of its
    texts.
    """
    needed = [model for model in MODELS if model in models or (controls and model == "hybrid")]
    if lacking := [model for model in needed if model not in bundle.models]:
        raise PairError(
            f"{bundle.name} has no {listed(lacking)} here; available: {listed(tuple(bundle.models))}."
        )
    for model in needed:
        _place(bundle.model(model), device)
    for table in tables:
        observer(Status(sentence=table.name))
        for sentence in remarks(table.examples, task.lines):
            observer(Notice(sentence=f"{table.name}: {sentence}"))
        sources = [example.source for example in table.examples]
        references = [example.references for example in table.examples]
        runs: list[tuple[Model, str | None]] = [(model, None) for model in models]
        runs += [("hybrid", control) for control in controls]
        for model, control in runs:
            outputs, cut = _answers(bundle, model, task.name, sources, max_new_tokens, control)
            corpus_score = score(main_metric(task).name, outputs, references, task.target_language)
            system = CONTROLS[control] if control else model
            yield Evaluated(table.name, system, corpus_score, cut, tuple(outputs))


def _place(model: PreTrainedModel, device: str) -> None:
    if device.startswith("cuda") and not devices_of(model):
        model.to(device, torch.bfloat16)  # type: ignore[arg-type]


@torch.inference_mode()
def _answers(
    bundle: Bundle,
    model: Model,
    task: str,
    sources: Sequence[str],
    max_new_tokens: int,
    control: str | None,
) -> tuple[list[str], int]:
    codec, writer = bundle.codec(model), bundle.model(model)
    prompts = codec.encode(task, sources, truncate=True)
    ids_of = [prompt.token_ids for prompt in prompts]
    check_room(contexts_of([writer.config]), max(map(len, ids_of)), max_new_tokens)
    batch = BATCH_ON_GPU if writer.device.type == "cuda" else BATCH
    latents = _Latents(bundle.hybrid, ids_of, control) if control else None
    answers = [""] * len(prompts)
    for rows, ids in by_length(ids_of, lambda _: batch):
        more = {"llm_hidden_states": latents.of(rows, ids.shape[1])} if latents else {}
        mask = mask_of(ids, [len(ids_of[row]) for row in rows])
        for row, written in zip(
            rows,
            generated(writer, ids, mask, max_new_tokens, codec.eos_ids, codec.pad_id, **more),
            strict=True,
        ):
            answers[row] = codec.decode(written)
    return answers, sum(prompt.truncated for prompt in prompts)


class _Latents:
    """What a control feeds the hybrid with, (B, S, d_llm)."""

    def __init__(self, pair: Hybrid, prompts: Sequence[tuple[int, ...]], control: str) -> None:
        self._pair, self._prompts, self._control = pair, prompts, control
        self._mean = self._mean_state() if control == "constant" else None

    def of(self, rows: Sequence[int], width: int) -> torch.Tensor:
        others = [self._prompts[(row + 1) % len(self._prompts)] for row in rows]
        states, _ = self._read(others)
        if self._control == "zero":
            return torch.zeros_like(states[:, :1]).repeat(1, width, 1)
        if self._mean is not None:
            return self._mean.expand(len(rows), width, -1)
        repeated = [s[torch.arange(width) % len(o)] for s, o in zip(states, others, strict=True)]
        return torch.stack(repeated)

    def _read(self, prompts: Sequence[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = padded(prompts)
        mask = mask_of(ids, [len(prompt) for prompt in prompts]).to(self._pair.device)
        return self._pair.read(ids.to(self._pair.device), mask), mask

    def _mean_state(self) -> torch.Tensor:
        total, count = torch.zeros(()), 0
        for start in range(0, len(self._prompts), BATCH):
            states, mask = self._read(self._prompts[start : start + BATCH])
            total = total.to(states.device) + (states.float() * mask[..., None]).sum((0, 1))
            count += int(mask.sum())
        return (total / count).to(next(self._pair.parameters()).dtype)
