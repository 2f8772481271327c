"""Training as a stream of events: `train(recipe)` yields, the caller draws.

Each stage trains one model; its checkpoint, log and weights live in
<output>/<stage>/. A killed run goes on from its last checkpoint to the same
losses: batch and dropout of step k depend on the seed and k alone.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel

from hybrid.errors import RecipeError
from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.training.checkpoint import load_checkpoint, save_checkpoint
from hybrid.training.data import Batches, prepare
from hybrid.training.models import build_model, check_memory, distilled, export
from hybrid.training.optim import MuonAdam, linear_schedule
from hybrid.training.recipe import Recipe, Stage, prepared
from hybrid.training.settings import check_unchanged, record, stage_settings
from hybrid.training.stage_module import StageModule, compile_parts
from hybrid.training.step import Update

LOSSES = ("objective", "smoothed_cross_entropy", "cross_entropy", "kl")


@dataclass(frozen=True)
class TrainEvent:
    """One line of a stage's log.jsonl.

    kind: start, progress, dev, checkpoint, done, stopped, or bundle (written, to `folder`).
    values: losses in nats per token, tokens_per_s (padded), eta_s, lr_factor.
    """

    kind: str
    stage: str
    step: int
    steps: int
    values: Mapping[str, float | str] = field(default_factory=dict)


def train(
    recipe: Recipe, stages: Sequence[str] | None = None, stop_after: float | None = None
) -> Iterator[TrainEvent]:
    """Run the stages in order (all, when none are named), skipping finished ones.

    stop_after: seconds after which to write a checkpoint and stop.
    Raises RecipeError when the recipe has changed since its output was begun, when
    losses or weights are no numbers any more, and when disk or memory is full;
    the last checkpoint then stays as it is.
    """
    deadline = time.monotonic() + stop_after if stop_after is not None else None
    chosen = [recipe.stage(name) for name in stages] if stages else list(recipe.stages)
    with _as_recipe_error(recipe):
        yield from _train(recipe, chosen, deadline)


def _train(recipe: Recipe, chosen: Sequence[Stage], deadline: float | None) -> Iterator[TrainEvent]:
    accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
    with accelerator.main_process_first():
        check_unchanged(recipe)
        check_memory(recipe, [s for s in chosen if not _is_done(recipe, s)], accelerator.device)
        prepare(recipe)
    for stage in chosen:
        if _is_done(recipe, stage):
            continue
        run = StageRun(recipe, stage, accelerator)
        yield from run.events(deadline)
        if not run.finished:
            return
    if (
        recipe.bundle
        and accelerator.is_main_process
        and all(_is_done(recipe, stage) for stage in recipe.stages)
    ):
        folder = recipe.out / "bundle" / recipe.name
        export(recipe, folder)
        last = recipe.stages[-1]
        yield TrainEvent("bundle", last.name, last.steps, last.steps, {"folder": str(folder)})


@contextmanager
def _as_recipe_error(recipe: Recipe) -> Iterator[None]:
    """Say in a sentence that disk or memory does not suffice."""
    again = "the last checkpoint is whole, and the same command goes on from it"
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what = f"Training stopped, {recipe.out} cannot be read or written: {reason}"
        raise RecipeError(f"{what}; {again}.") from error
    except (MemoryError, RuntimeError) as error:
        full = isinstance(error, MemoryError | torch.OutOfMemoryError) or "t allocate memory" in str(error)
        if not full:  # torch has no class of its own for a CPU's
            raise
        raise RecipeError(
            f"Training stopped, the memory is full; {again}. A recipe with smaller tokens_per_step, "
            "buckets or sizes takes less, in another output folder."
        ) from error


class StageRun:
    """One stage in one process."""

    def __init__(self, recipe: Recipe, stage: Stage, accelerator: Accelerator) -> None:
        self.recipe, self.stage, self.accelerator = recipe, stage, accelerator
        self.folder = recipe.out / stage.name
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        torch.set_float32_matmul_precision("high")
        student, teacher = build_model(recipe, stage)
        self.module = StageModule(stage, student, teacher).to(accelerator.device)
        self.named = trainable(student)
        self.optimizer = MuonAdam(self.named, stage.matrix_lr, stage.vector_lr, stage.weight_decay)
        share = (accelerator.process_index, accelerator.num_processes)
        data = _data(recipe, stage, accelerator)
        tokens, seed, device = stage.tokens_per_step, recipe.seed, accelerator.device
        self.batches = Batches(data, recipe.data, tokens, seed, device, share)
        self.dev = Batches(prepared(recipe).with_name("dev.npz"), recipe.data, 8192, seed, device)
        self.update = Update(self.module, self.named, self.optimizer, accelerator)
        if recipe.compile:
            torch._dynamo.config.recompile_limit = 64
            compile_parts(self.module)
        self.module.train()
        self.finished = False
        self.saved = 0  # updates in the last checkpoint

    def events(self, deadline: float | None) -> Iterator[TrainEvent]:
        """Train from the last checkpoint to the end or to the deadline."""
        done = self.saved = load_checkpoint(self.folder / "checkpoint", self.named, self.optimizer)
        yield self._log("start", done, {"device": str(self.accelerator.device), "resumed_from": done})
        self.update.warm_up(self.batches.examples())
        clock = _Throughput(done)
        while done < self.stage.steps:
            losses, tokens = self._update(done)
            done += 1
            clock.tokens += tokens
            last, out_of_time = done == self.stage.steps, False
            if done % self.recipe.log_every == 0 or last:
                means = dict(zip(LOSSES, losses.tolist(), strict=True))
                self._check_finite(done, means)
                yield self._log("progress", done, means | clock.lap(done, self.stage.steps))
                out_of_time = self._agree(deadline is not None and time.monotonic() > deadline)
            if done % self.recipe.dev_every == 0 or last:
                held_out = self.dev_losses()
                self._check_finite(done, held_out)
                yield self._log("dev", done, held_out)
                clock.skip(done)
            if done % self.recipe.checkpoint_every == 0 or last or out_of_time:
                self._checkpoint(done)
                yield self._log("checkpoint", done, self._spent(clock))
                clock.skip(done)
            if out_of_time and not last:
                yield self._log("stopped", done, self._spent(clock))
                return
        self._finish()
        yield self._log("done", done, self._spent(clock))

    def _spent(self, clock: "_Throughput") -> dict[str, float]:
        """Device hours since this session's start."""
        return {"device_hours": clock.hours * self.accelerator.num_processes}

    def _agree(self, mine: bool) -> bool:
        """Return True when any process says so; all processes ask at the same step."""
        if self.accelerator.num_processes == 1:
            return mine
        votes = torch.tensor(float(mine), device=self.accelerator.device)
        return bool(self.accelerator.reduce(votes, "sum") > 0)

    def _update(self, index: int) -> tuple[torch.Tensor, int]:
        """Update number `index`; its losses and the padded tokens of all processes."""
        batch = self.batches[index]
        processes = self.accelerator.num_processes
        seed = self.recipe.seed * 1_000_003 + index * processes + self.accelerator.process_index
        factor = linear_schedule(index, self.stage.warmup_steps, self.stage.steps)
        losses = self.update(batch, seed, index, factor)
        return losses, (batch.source.numel() + batch.labels.numel()) * processes

    @torch.no_grad()
    def dev_losses(self) -> dict[str, float]:
        """Losses on the held-out examples, uncompiled, each batch weighing the same."""
        self.module.eval()
        with self.accelerator.autocast(), torch.compiler.set_stance("force_eager"):
            rows = [self.module(b.source, b.mask, b.labels) for b in self.dev.epoch(0)]
        self.module.train()
        return dict(zip(LOSSES, torch.stack(rows).mean(0).tolist(), strict=True))

    def _check_finite(self, step: int, values: Mapping[str, float]) -> None:
        """Raise RecipeError when one of `values` is no finite number."""
        for name, value in values.items():
            if not math.isfinite(value):
                stage, last = self.stage, f"that of step {self.saved}" if self.saved else "none"
                raise RecipeError(
                    f"Stage {stage.name!r}: {name} is {value} at step {step}; the last checkpoint is {last}. "
                    f"Lower matrix_lr ({stage.matrix_lr:g}) or vector_lr ({stage.vector_lr:g}), and give the "
                    f"recipe another output folder or delete {self.folder}."
                )

    @torch.no_grad()
    def _checkpoint(self, step: int) -> None:
        norms = torch._foreach_norm(list(self.named.values()))
        self._check_finite(step, {"the norm of the weights": float(torch.stack(list(norms)).max())})
        if self.accelerator.is_main_process:
            record(self.folder, stage_settings(self.recipe, self.stage))
            save_checkpoint(self.folder / "checkpoint", step, self.named, self.optimizer)
        self.saved = step
        self.accelerator.wait_for_everyone()

    def _finish(self) -> None:
        self.finished = True
        if self.accelerator.is_main_process:
            (self.folder / "done.json").write_text(json.dumps({"steps": self.stage.steps}), "utf-8")

    def _log(self, kind: str, step: int, values: Mapping[str, float | str]) -> TrainEvent:
        event = TrainEvent(kind, self.stage.name, step, self.stage.steps, values)
        if self.accelerator.is_main_process:
            with (self.folder / "log.jsonl").open("a+b") as log:
                log.seek(max(log.tell() - 1, 0))
                torn = log.read(1) not in (b"", b"\n")  # by a full disk or a kill
                log.write(b"\n" * torn + json.dumps(asdict(event) | {"time": time.time()}).encode() + b"\n")
        return event


class _Throughput:
    """Padded tokens a second since the last lap; evaluation and saving are left out."""

    def __init__(self, step: int) -> None:
        self.began = time.monotonic()
        self.skip(step)

    def lap(self, step: int, steps: int) -> dict[str, float]:
        elapsed = time.monotonic() - self.start
        eta = elapsed / max(step - self.step, 1) * (steps - step)
        rate = self.tokens / elapsed
        self.skip(step)
        return {"tokens_per_s": rate, "eta_s": eta}

    def skip(self, step: int) -> None:
        self.step, self.tokens, self.start = step, 0, time.monotonic()

    @property
    def hours(self) -> float:
        return (time.monotonic() - self.began) / 3600


def trainable(student: PreTrainedModel) -> dict[str, nn.Parameter]:
    """Return what a stage changes: all of an LLM or SLM, projector and SLM of a hybrid."""
    if isinstance(student, HybridForConditionalGeneration):
        return student.trainable()
    return dict(student.named_parameters())


def _is_done(recipe: Recipe, stage: Stage) -> bool:
    return (recipe.out / stage.name / "done.json").is_file()


def _data(recipe: Recipe, stage: Stage, accelerator: Accelerator) -> Path:
    """Return the references, or the answers of an earlier stage's LLM, written by the first process."""
    if stage.answers_of is None:
        return prepared(recipe)
    with accelerator.main_process_first():
        return distilled(recipe, stage.answers_of, accelerator.device)
