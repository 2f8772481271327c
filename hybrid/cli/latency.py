"""`hybrid latency`: how fast models of any sizes answer, without their weights."""

from collections.abc import Callable
from typing import Any

import click

from hybrid.cli.console import Terminal, notice, out, out_json, say
from hybrid.cli.options import Finite, engine_options, given_options, wait_option
from hybrid.schema import METHODS, MODELS

# What may be given beside --resume; all else is in the stored grid.
NOT_OF_THE_GRID = ("resume", "time_limit", "wait", "as_json")
SHORTEST_PROMPT = 3  # the task's prefix, a word, the end
LONGEST, LARGEST_BATCH = 65_536, 4_096


def _names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    names = dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip())
    if text is not None and not names:
        raise click.BadParameter("no model is named; `hybrid latency --shapes` lists them.")
    return tuple(names)


def _methods(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    names = _names(ctx, parameter, text)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise click.BadParameter(f"there is no method {unknown[0]!r}; available: {', '.join(METHODS)}")
    return tuple(method for method in METHODS if method in names)


def _numbers(low: int, high: int) -> Callable[[click.Context, click.Parameter, str], tuple[int, ...]]:
    """Make a callback that reads `1,8,32`: each a whole number from low to high."""

    def read(_: click.Context, __: click.Parameter, text: str) -> tuple[int, ...]:
        pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
        wrong = [p for p in pieces if not (p.isascii() and p.isdecimal() and low <= int(p) <= high)]
        if wrong or not pieces:
            raise click.BadParameter(
                f"{(wrong or [text])[0]!r} is not a whole number from {low} to {high}, or several like 1,8,32"
            )
        return tuple(sorted({int(piece) for piece in pieces}))

    return read


@click.command()
@click.option(
    "--llm", "llms", callback=_names, metavar="NAMES", help="Of models that read, such as t5-large."
)
@click.option(
    "--slm", "slms", callback=_names, metavar="NAMES", help="Of models that write, such as t5-small."
)
@click.option(
    "--prompt",
    "prompts",
    callback=_numbers(SHORTEST_PROMPT, LONGEST),
    default="128",
    show_default=True,
    metavar="N,N",
    help="Tokens of a prompt.",
)
@click.option(
    "--output",
    "outputs",
    callback=_numbers(1, LONGEST),
    default="64",
    show_default=True,
    metavar="N,N",
    help="Tokens of an answer.",
)
@click.option(
    "--batch",
    "batches",
    callback=_numbers(1, LARGEST_BATCH),
    default="1",
    show_default=True,
    metavar="N,N",
    help="Prompts at once.",
)
@click.option(
    "--methods",
    callback=_methods,
    default=",".join(MODELS),
    show_default=True,
    help=f"Of {', '.join(METHODS)}.",
)
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=3, show_default=True, help="Measured answers."
)
@engine_options
@click.option("--store/--no-store", default=True, help="Into results/grids/. [default: store]")
@click.option("--resume", metavar="GRID", help="Measure what a stored grid still lacks; or `latest`.")
@click.option(
    "--time-limit",
    type=Finite(0),
    metavar="SECONDS",
    help="End after the size that is measured by then.",
)
@wait_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--shapes", "list_shapes", is_flag=True, help="List the known models and their sizes.")
@click.pass_context
def latency(
    ctx: click.Context, /, list_shapes: bool, as_json: bool, resume: str | None, **options: Any
) -> None:  # fmt: skip
    """Measure how fast an LLM, an SLM and their hybrid would be: speed only, no quality.

    Weights are random, because speed does not depend on their values. NAMES are
    those of --shapes, or paths to a config.json; several, and several
    numbers, make a grid of all combinations. Of an LLM that is called NAME@20
    the hybrid reads layer 20, of NAME@10+20 two layers, of NAME@whole all. Grids are stored, go on with
    --resume, and only one measurement runs on a machine at a time.
    """
    from hybrid.cli.latency_report import as_object, report, shapes_table
    from hybrid.sizing.run import GridRequest, measure_grid, resume_grid

    if list_shapes:
        for line in shapes_table():
            out(line)
        return
    if resume is not None and (surplus := given_options(ctx, NOT_OF_THE_GRID)):
        raise click.UsageError(f"--resume goes on with the stored grid; leave out {', '.join(surplus)}.")
    if resume is None and not (options["llms"] and options["slms"]):
        raise click.UsageError("Missing option '--llm' or '--slm'. `hybrid latency --shapes` lists models.")
    terminal = Terminal(unit="cells")
    limits = {"time_limit_s": options.pop("time_limit"), "wait_s": options.pop("wait")}
    store = options.pop("store")
    try:
        with terminal:
            if resume is not None:
                grid = resume_grid(resume, terminal, **limits)
            else:
                request = GridRequest(engine_options=options.pop("engine_option"), **options)
                grid = measure_grid(request, terminal, store=store, **limits)
    finally:
        _say_state(terminal)
    if not grid.cells:
        notice("Nothing is measured yet.")
    if as_json:
        out_json(as_object(grid))
        return
    for line in report(grid):
        out(line)


def _say_state(terminal: Terminal) -> None:
    """How much of a stored grid is there, and how the rest comes to it."""
    ended, last = terminal.interrupted, terminal.last
    if ended is not None:
        how = f"; `hybrid latency --resume {ended.run_id}` goes on"
        stored = f"{ended.done} of {ended.planned} cells of grid {ended.run_id} are stored{how}."
        say(stored)
    elif terminal.finished is not None and last is not None:
        stored = f"{last.planned} of {last.planned} cells of grid {terminal.finished.run_id} are stored."
        say(stored)
