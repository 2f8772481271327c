"""One stage in one process: updates, held-out losses, checkpoints, and the log of it all."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from hybrid.errors import RecipeError
from hybrid.models.pair import Hybrid
from hybrid.models.pair_format import Role
from hybrid.training.batches import Batches
from hybrid.training.checkpoint import (
    BEST,
    CHECKPOINT,
    LOG,
    MEAN,
    load_checkpoint,
    read_set,
    save_checkpoint,
    whole_folder,
)
from hybrid.training.distillation import distilled
from hybrid.training.models import build_model, checkpoint_tensors, trainable
from hybrid.training.optim import MeanWeights, linear_schedule, optimizer_of
from hybrid.training.packing import AnyBatch, PackedBatches
from hybrid.training.recipe import Recipe, Stage, prepared
from hybrid.training.settings import record, stage_settings
from hybrid.training.sources import row_tokens
from hybrid.training.stage_module import PackedModule, StageModule, compile_parts, is_encoder_decoder
from hybrid.training.states import calibrate, keep_states
from hybrid.training.step import Update

LOSSES = ("objective", "smoothed_cross_entropy", "cross_entropy", "kl")
DEV_TOKENS = 8192  # a held-out batch
SILENCE_S = 10.0  # between two signs of progress, where `log_every` updates take longer


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


class StageRun:
    """One stage in one process."""

    def __init__(self, recipe: Recipe, stage: Stage, accelerator: Accelerator) -> None:
        self.recipe, self.stage, self.accelerator = recipe, stage, accelerator
        self.folder = recipe.out / stage.name
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        torch.set_float32_matmul_precision("high")
        student, teacher = build_model(recipe, stage, accelerator.device)
        packed = not isinstance(student, Hybrid) and not is_encoder_decoder(student)
        kind = PackedModule if packed else StageModule
        self.module = kind(stage, student, teacher).to(accelerator.device)
        self.named, self.tensors = trainable(student), checkpoint_tensors(student)
        self.optimizer = optimizer_of(stage, self.named)
        self.mean = MeanWeights(self.named, stage.ema)
        self.batches, self.dev = self._batches(packed)
        self.update = Update(self.module, self.named, self.optimizer, accelerator)
        self.position = self._resume(student)
        # On a CPU compiling takes minutes and gains little.
        if accelerator.device.type == "cuda" and recipe.compiles(stage):
            compile_parts(self.module)
        self.module.train()
        self.finished = False
        self.saved = int(self.position["step"])  # updates in the last checkpoint

    def _batches(self, packed: bool) -> tuple[Batches | PackedBatches, Batches | PackedBatches]:
        """Batches to train on, those of this process, and held-out ones."""
        recipe, stage, accelerator = self.recipe, self.stage, self.accelerator
        share = (accelerator.process_index, accelerator.num_processes)
        data, dev = self._data(), prepared(recipe).with_name("dev.npz")
        seed, device, tokens = recipe.seed, accelerator.device, stage.tokens_per_step
        role: Role = "llm" if stage.trains == "llm" else "slm"
        if packed:
            width = row_tokens(recipe, role)
            return (
                PackedBatches(data, recipe.data, tokens, seed, device, share, role, width),
                PackedBatches(dev, recipe.data, DEV_TOKENS, seed, device, role=role, width=width),
            )
        reads: Role = "llm" if stage.trains == "hybrid" else role
        return (
            Batches(data, recipe.data, tokens, seed, device, share, reads, role),
            Batches(dev, recipe.data, DEV_TOKENS, seed, device, reads=reads, writes=role),
        )

    def _data(self) -> Path:
        """Return the references, or the answers of an LLM, written by the first process."""
        if self.stage.answers_of is None:
            return prepared(self.recipe)
        with self.accelerator.main_process_first():
            return distilled(self.recipe, self.stage, self.accelerator.device)

    def _resume(self, student: PreTrainedModel) -> dict[str, float]:
        """Go on from the last checkpoint; let a hybrid's LLM read what can be kept."""
        folder = self.folder / CHECKPOINT
        others = {MEAN: self._mean_tensors()} if self.mean.named else {}
        position = load_checkpoint(folder, self.tensors, self.optimizer, others)
        self.best = read_set((whole_folder(folder) or folder) / BEST)
        if isinstance(student, Hybrid) and isinstance(self.batches, Batches):
            source, seed = self.batches.source, self.recipe.seed
            with self.accelerator.autocast():
                if student.config.standardize and not position["step"]:
                    calibrate(student, source, seed)
                if not self.module.read_by_teacher:
                    self.module.prompt_states = keep_states(student, source, self.recipe.hybrid.states_gb)
        return position

    def events(self, deadline: float | None) -> Iterator[TrainEvent]:
        """Train from the last checkpoint to the end or to the deadline."""
        done = int(self.position["step"])
        yield self._log("start", done, {"device": str(self.accelerator.device), "resumed_from": done})
        self.update.warm_up(self.batches.examples())
        clock = Clock(done, self.position.get("seconds", 0.0))
        while done < self.stage.steps:
            losses, batch = self._update(done, clock)
            done += 1
            clock.tokens += batch.padded_tokens * self.accelerator.num_processes
            last = done == self.stage.steps or self._agree(self._is_over(clock))
            out_of_time = False
            if done % self.recipe.log_every == 0 or last or self._is_silent(clock):
                means = dict(zip(LOSSES, losses.tolist(), strict=True))
                self._check_finite(done, means)
                yield self._log("progress", done, means | clock.lap(done, self.stage))
                out_of_time = self._agree(deadline is not None and time.monotonic() > deadline)
            if done % self.recipe.dev_every == 0 or last:
                held_out = self.dev_losses()
                self._check_finite(done, held_out)
                yield self._log("dev", done, held_out)
                last = self._note(held_out) or last
                clock.skip(done)
            if done % self.recipe.checkpoint_every == 0 or last or out_of_time:
                self._checkpoint(done, clock)
                yield self._log("checkpoint", done, self._spent(clock))
                clock.skip(done)
            if last:
                break
            if out_of_time:
                yield self._log("stopped", done, self._spent(clock))
                return
        self._finish(done)
        yield self._log("done", done, self._spent(clock))

    def _is_over(self, clock: "Clock") -> bool:
        return self.stage.max_seconds is not None and clock.seconds >= self.stage.max_seconds

    def _is_silent(self, clock: "Clock") -> bool:
        """Tell whether whoever watches has heard nothing for a while: 50 updates take minutes on a CPU."""
        return self.accelerator.num_processes == 1 and time.monotonic() - clock.start >= SILENCE_S

    def _note(self, held_out: Mapping[str, float]) -> bool:
        """Keep the weights of the lowest held-out objective; return True when none is lower for long."""
        if self.stage.patience is None:
            return False
        value, position = held_out["objective"], self.position
        if value < position.get("best", math.inf):
            position |= {"best": value, "worse": 0.0}
            with self.mean.in_place():
                self.best = {name: t.detach().clone() for name, t in self.tensors.items()}
            return False
        position["worse"] = position.get("worse", 0.0) + 1
        return position["worse"] >= self.stage.patience

    def _spent(self, clock: "Clock") -> dict[str, float]:
        """Device hours since this session's start."""
        return {"device_hours": clock.hours * self.accelerator.num_processes}

    def _agree(self, mine: bool) -> bool:
        """Return True when any process says so; all processes ask at the same step."""
        if self.accelerator.num_processes == 1:
            return mine
        votes = torch.tensor(float(mine), device=self.accelerator.device)
        return bool(self.accelerator.reduce(votes, "sum") > 0)

    def _update(self, index: int, clock: "Clock") -> tuple[torch.Tensor, AnyBatch]:
        """Update number `index`; its losses, and the batch."""
        batch, stage = self.batches[index], self.stage
        processes = self.accelerator.num_processes
        seed = self.recipe.seed * 1_000_003 + index * processes + self.accelerator.process_index
        factor = linear_schedule(index, stage.warmup_steps, stage.steps)
        if stage.max_seconds is not None:  # the rate reaches zero with whichever ends first
            warm = min((index + 1) / max(stage.warmup_steps, 1), 1.0)
            factor = min(factor, warm * max(0.0, 1 - clock.seconds / stage.max_seconds))
        losses = self.update(batch, seed, index, factor)
        self.mean.update(index)
        return losses, batch

    @torch.no_grad()
    def dev_losses(self) -> dict[str, float]:
        """Losses on the held-out examples, uncompiled, each batch weighing the same."""
        self.module.eval()
        with self.mean.in_place(), self.accelerator.autocast(), torch.compiler.set_stance("force_eager"):
            rows = [self.module(*batch) for batch in self.dev.epoch(0)]
        self.module.train()
        return dict(zip(LOSSES, torch.stack(rows).mean(0).tolist(), strict=True))

    def _check_finite(self, step: int, values: Mapping[str, float]) -> None:
        """Raise RecipeError when one of `values` is no finite number."""
        for name, value in values.items():
            if not math.isfinite(value):
                stage, last = self.stage, f"that of step {self.saved}" if self.saved else "none"
                rates = f"matrix_lr ({stage.matrix_lr:g}) or vector_lr ({stage.vector_lr:g})"
                rates = f"lr ({stage.lr:g})" if stage.optimizer == "adamw" else rates
                raise RecipeError(
                    f"Stage {stage.name!r}: {name} is {value} at step {step}; the last checkpoint is {last}. "
                    f"Lower {rates}, and give the "
                    f"recipe another output folder or delete {self.folder}."
                )

    @torch.no_grad()
    def _checkpoint(self, step: int, clock: "Clock") -> None:
        norms = torch._foreach_norm(list(self.named.values()))
        self._check_finite(step, {"the norm of the weights": float(torch.stack(list(norms)).max())})
        self.position |= {"step": step, "seconds": clock.seconds}
        if self.accelerator.is_main_process:
            record(self.folder, stage_settings(self.recipe, self.stage))
            others = {MEAN: self._mean_tensors() if self.mean.named else {}, BEST: self.best}
            save_checkpoint(self.folder / CHECKPOINT, self.position, self.tensors, self.optimizer, others)
        self.saved = step
        self.accelerator.wait_for_everyone()

    def _mean_tensors(self) -> dict[str, torch.Tensor]:
        return self.tensors | self.mean.named

    def _finish(self, step: int) -> None:
        self.finished = True
        if self.accelerator.is_main_process:
            (self.folder / "done.json").write_text(json.dumps({"steps": step}), "utf-8")

    def _log(self, kind: str, step: int, values: Mapping[str, float | str]) -> TrainEvent:
        event = TrainEvent(kind, self.stage.name, step, self.stage.steps, values)
        if self.accelerator.is_main_process:
            with (self.folder / LOG).open("a+b") as log:
                log.seek(max(log.tell() - 1, 0))
                torn = log.read(1) not in (b"", b"\n")  # by a full disk or a kill
                log.write(b"\n" * torn + json.dumps(asdict(event) | {"time": time.time()}).encode() + b"\n")
        return event


class Clock:
    """Seconds and padded tokens a second since the last lap; evaluation and saving are left out."""

    def __init__(self, step: int, before: float) -> None:
        self.began, self._before = time.monotonic(), before
        self.skip(step)

    def lap(self, step: int, stage: Stage) -> dict[str, float]:
        elapsed = time.monotonic() - self.start
        eta = elapsed / max(step - self.step, 1) * (stage.steps - step)
        if stage.max_seconds is not None:
            eta = max(0.0, min(eta, stage.max_seconds - self.seconds))
        rate = self.tokens / elapsed
        self.skip(step)
        return {"tokens_per_s": rate, "eta_s": eta}

    def skip(self, step: int) -> None:
        self.step, self.tokens, self.start = step, 0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Of training, in this session and those before it."""
        return self._before + time.monotonic() - self.began

    @property
    def hours(self) -> float:
        return (time.monotonic() - self.began) / 3600
