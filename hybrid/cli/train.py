"""`hybrid train`: the stages of a recipe, shown on stderr; `hybrid evaluate`: quality over files."""

import os
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybrid.benchmark.plan_options import COLUMNS
from hybrid.cli.console import Terminal, harmless, notice, out, out_json, say, stderr_console
from hybrid.cli.options import Finite, with_options
from hybrid.errors import InputError
from hybrid.format import capitalized
from hybrid.measuring import collector_off
from hybrid.schema import MODELS, Device, Model, Observer, Status, Task

if TYPE_CHECKING:
    from hybrid.models.bundle import Bundle
    from hybrid.training.evaluate import Evaluated
    from hybrid.training.stage_run import TrainEvent

PLAIN_LINE_EVERY_S = 10.0


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--stage", "stages", metavar="NAME", multiple=True, help="Only this stage; may be repeated.")
@click.option(
    "--stop-after",
    type=Finite(min=0, min_open=True),
    metavar="SECONDS",
    help="Write a checkpoint and stop; the same command goes on from it.",
)
def train(recipe: Path, stages: tuple[str, ...], stop_after: float | None) -> None:
    """Train the stages of RECIPE, a TOML file, going on from the last checkpoint."""
    from hybrid.training.recipe import load_recipe

    loaded = load_recipe(recipe)
    from hybrid.training.train import train as run
    from hybrid.training.train import what_is_left

    events = run(loaded, stages or None, stop_after)
    if os.environ.get("RANK", "0") == "0":
        try:
            _draw(events)
        except KeyboardInterrupt:
            notice(f"{capitalized(what_is_left(loaded))}.")
            raise
    else:  # one of several processes: the first one draws
        for _ in events:
            pass


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--task", metavar="NAME", help="[default: the pair's first, said on stderr]")
@with_options([COLUMNS])
@click.option("--system", "systems", type=click.Choice(MODELS), multiple=True, help="[default: all]")
@click.option("--pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]")
@click.option("--recipe", type=click.Path(path_type=Path), help="In place of a pair: of this recipe,")
@click.option(
    "--stage",
    "stages",
    metavar="NAME",
    multiple=True,
    help="this stage; may be repeated. [default: the bundle's]",
)
@click.option("--limit", type=click.IntRange(1), default=500, show_default=True, help="Of each file.")
@click.option("--max-new-tokens", type=click.IntRange(1, 4096), default=128, show_default=True)
@click.option("--control", is_flag=True, help="Also the hybrid fed with a mismatched, constant, zero latent.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--outputs", is_flag=True, help="With --json also the answers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def evaluate(
    files: tuple[Path, ...], task: str | None, systems: tuple[Model, ...], pair: str | None, **options: Any
) -> None:
    """Score the systems of a pair on FILEs of examples, in batches: BLEU or ROUGE-L.

    A FILE is TSV, CSV or JSONL, of source and reference, with names of columns in
    its first line or without; or SOURCES,REFERENCES, two files of a text a line.
    `hybrid bench` measures speed and quality together.
    """
    if options["stages"] and options["recipe"] is None:
        raise InputError("--stage names a stage of a recipe; give --recipe FILE too.")
    with Terminal() as terminal:
        terminal(Status(sentence="Starting"))
        with collector_off():
            import torch

            from hybrid.training.evaluate import CONTROLS, quality, read_tables

        if options["device"] == "cpu":
            torch.set_num_threads(1)
        # Whatever a user names is looked at before models are read, which takes longest.
        tables = read_tables(files, options["columns"], options["limit"])
        tasks, load = _models(pair, systems, terminal, **options)
        scored = _task_of(tasks, task)
        bundle = load()
        if task is None:
            notice(f"The task is {scored.name}; --task names another.")
        controls = tuple(CONTROLS) if options["control"] else ()
        settings = controls, options["max_new_tokens"], options["device"]
        for result in quality(bundle, tables, scored, systems or tuple(bundle.models), *settings, terminal):
            _print_quality(result, options["as_json"], options["outputs"])


def _models(
    pair: str | None, systems: tuple[Model, ...], observer: Observer, **options: Any
) -> tuple[Mapping[str, Task], Callable[[], "Bundle"]]:
    """Find what `hybrid evaluate` asks for, of a pair or a recipe's stages: the tasks, and what loads it."""
    import torch

    from hybrid.engines.torch.engine import check_device
    from hybrid.models.bundle import Placement
    from hybrid.models.manifest import models_of_pair, tasks_of
    from hybrid.models.sources import ZooSource
    from hybrid.training.export import stage_bundle
    from hybrid.training.recipe import load_recipe

    check_device(options["device"])
    if options["recipe"] is not None:
        recipe = load_recipe(options["recipe"])
        stages = options["stages"] or tuple(recipe.bundle.values())
        if not stages:
            raise InputError(f"The recipe {recipe.name} has no [bundle]; name its stages with --stage.")
        return recipe.used_tasks, partial(stage_bundle, recipe, stages, torch.device(options["device"]))
    source = ZooSource(pair, observer=observer)
    device = Device(options["device"])
    dtype = "float32" if device.kind == "cpu" else "bfloat16"
    misled: tuple[Model, ...] = ("hybrid",) if options["control"] else ()
    models = (*(systems or models_of_pair(source.manifest)), *misled)
    placement = Placement(dtype, source.spreads(device, dtype))
    return tasks_of(source.manifest), partial(source.bundle, models, placement)


def _task_of(tasks: Mapping[str, Task], name: str | None) -> Task:
    name = next(iter(tasks)) if name is None else name
    if name not in tasks:
        raise InputError(f"There is no task {name!r}; available: {', '.join(tasks)}.")
    return tasks[name]


def _print_quality(result: "Evaluated", as_json: bool, outputs: bool) -> None:
    from hybrid.metrics import METRICS

    report = {
        "file": result.file,
        "system": result.system,
        METRICS[result.score.metric].label: round(result.score.value, 2),
        "n": result.score.n,
        "cut_prompts": result.cut_prompts,
        "signature": result.score.signature,
    }
    if as_json:
        out_json(report | ({"outputs": result.outputs} if outputs else {}), indent=None)
    else:
        out("\t".join(harmless(f"{key} {value}") for key, value in report.items()))


def _draw(events: Iterable["TrainEvent"]) -> None:
    """Draw a bar per stage on a terminal; elsewhere a plain line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    console = stderr_console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[line]}", markup=False),
    )
    bars: dict[str, TaskID] = {}
    figures: dict[str, str] = {}
    printed_s, pair = float("-inf"), ""
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for event in events:
            if event.kind == "bundle":
                pair = str(event.values["folder"])
                continue
            if event.stage not in bars:
                bars[event.stage] = progress.add_task(harmless(event.stage), line="")
                figures = {}
            figures |= _figures(event)
            line = "  ".join(figures.values())
            progress.update(bars[event.stage], completed=event.step, total=event.steps, line=line)
            due = event.kind != "progress" or time.monotonic() - printed_s >= PLAIN_LINE_EVERY_S
            if due and not console.is_terminal:
                printed_s = time.monotonic()
                say(harmless(f"{event.stage}  {event.kind}  {event.step}/{event.steps}  {line}"))
    if not bars:
        notice("Every stage is finished already.")
    if pair:
        zoo = shlex.quote(str(Path(pair).parent))
        notice(f"The pair is in {harmless(pair)}; `HYBRID_ZOO={harmless(zoo)} hybrid app` shows it on Live.")


def _figures(event: "TrainEvent") -> dict[str, str]:
    """Format what a training event says as short pieces of the progress line."""
    values = {name: value for name, value in event.values.items() if isinstance(value, float)}
    where = "dev " if event.kind == "dev" else ""
    pieces = {}
    for name, label in (("cross_entropy", "cross-entropy"), ("kl", "KL")):
        if values.get(name):  # KL is zero where no teacher is matched
            pieces[where + name] = f"{where}{label} {values[name]:.3f}"
    if "tokens_per_s" in values:
        pieces["rate"] = f"{values['tokens_per_s']:,.0f} tokens/s"
    if "eta_s" in values:
        pieces["eta"] = f"ETA {timedelta(seconds=round(values['eta_s']))}"
    if event.kind in ("done", "stopped"):
        pieces["eta"] = event.kind
    return pieces
