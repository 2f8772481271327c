"""Training as a stream of events: `train(recipe)` yields, the caller draws.

Each stage trains one model; its checkpoint, log and weights live in
<output>/<stage>/. A killed run goes on from its last checkpoint to the same
losses: batch and dropout of step k depend on the seed and k alone.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from hybrid.errors import RecipeError
from hybrid.store.files import take_lock
from hybrid.training.checkpoint import CHECKPOINT, whole_folder
from hybrid.training.data import prepare
from hybrid.training.export import export
from hybrid.training.lora import check_lora
from hybrid.training.models import check_memory
from hybrid.training.recipe import Recipe, Stage
from hybrid.training.settings import check_unchanged
from hybrid.training.sources import check_fits
from hybrid.training.stage_run import StageRun, TrainEvent

LOCK = "train.lock"  # in an output folder; what is left of it after a training locks nothing


def train(
    recipe: Recipe, stages: Sequence[str] | None = None, stop_after: float | None = None
) -> Iterator[TrainEvent]:
    """Run the stages in order (all, when none are named), skipping finished ones.

    stop_after: seconds after which to write a checkpoint and stop.
    Raises RecipeError when the recipe has changed since its output was begun, when
    another training writes there, when losses or weights are no numbers any more,
    and when disk or memory is full; the last checkpoint then stays as it is.
    """
    deadline = time.monotonic() + stop_after if stop_after is not None else None
    chosen = [recipe.stage(name) for name in stages] if stages else list(recipe.stages)
    with _as_recipe_error(recipe):
        yield from _train(recipe, chosen, deadline)


def _train(recipe: Recipe, chosen: Sequence[Stage], deadline: float | None) -> Iterator[TrainEvent]:
    accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
    with ExitStack() as held:
        with accelerator.main_process_first():
            check_unchanged(recipe)
            check_fits(recipe)
            check_lora(chosen)
            check_memory(recipe, [s for s in chosen if not _is_done(recipe, s)], accelerator.device)
            if accelerator.is_main_process:
                held.enter_context(_locked(recipe.out))
            prepare(recipe)
        yield from _stages(recipe, chosen, deadline, accelerator)


def _stages(
    recipe: Recipe, chosen: Sequence[Stage], deadline: float | None, accelerator: Accelerator
) -> Iterator[TrainEvent]:
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
def _locked(out: Path) -> Iterator[None]:
    """Keep others from writing the same checkpoints, until the block ends or the process does."""
    out.mkdir(parents=True, exist_ok=True)
    lock = take_lock(out / LOCK)
    if lock is None:
        raise RecipeError(
            f"Another training writes to {out}. Wait for it or stop it, or give this recipe "
            "another output folder."
        )
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _as_recipe_error(recipe: Recipe) -> Iterator[None]:
    """Say in a sentence that disk or memory does not suffice."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what = f"Training stopped, {recipe.out} cannot be read or written: {reason}"
        raise RecipeError(f"{what}; {what_is_left(recipe)}.") from error
    except (MemoryError, RuntimeError) as error:
        full = isinstance(error, MemoryError | torch.OutOfMemoryError) or "t allocate memory" in str(error)
        if not full:  # torch has no class of its own for a CPU's
            raise
        raise RecipeError(
            f"Training stopped, the memory is full; {what_is_left(recipe)}. A recipe with smaller "
            "tokens_per_step, buckets or sizes takes less, in another output folder."
        ) from error


def what_is_left(recipe: Recipe) -> str:
    """Say what the same command goes on from after a training that stopped."""
    with suppress(OSError):
        for stage in reversed(recipe.stages):
            if whole_folder(recipe.out / stage.name / CHECKPOINT):
                return f"the last checkpoint, of stage {stage.name!r}, is whole; the same command goes on"
    return "no checkpoint was written before that; the same command begins anew"


def _is_done(recipe: Recipe, stage: Stage) -> bool:
    return (recipe.out / stage.name / "done.json").is_file()
