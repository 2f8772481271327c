"""`hybrid bench`: a suite answered and timed by several systems, into a stored run."""

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from hybrid.cli.engine_options import engine_option_pairs, engine_options, known_engine
from hybrid.cli.stopping import Stopped, stoppable
from hybrid.cli.waiting import wait_option
from hybrid.schema import METHODS, SYSTEMS, TASKS, Sampling, System

# What may be given beside --resume; all else is in the stored plan.
NOT_OF_THE_PLAN = ("resume", "wait", "memory")


def _systems(_: click.Context, __: click.Parameter, text: str) -> tuple[System, ...]:
    systems: list[System] = []
    for name in dict.fromkeys(name.strip() for name in text.split(",") if name.strip()):
        try:
            systems.append(System.parse(name))
        except ValueError as error:
            known = f"{', '.join(METHODS)}; METHOD@ENGINE for another engine"
            raise click.BadParameter(f"there is no system {name!r}; available: {known}") from error
    for system in systems:
        if system.engine is not None:
            known_engine(system.engine)
    if not systems:
        raise click.BadParameter(f"no system is named; available: {', '.join(METHODS)}")
    order = list(METHODS)
    return tuple(sorted(systems, key=lambda system: (order.index(system.method), system.engine is not None)))


def _columns(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    pairs = [piece.partition("=") for piece in text.split(",")]
    if not all(role.strip() and column.strip() for role, _, column in pairs):
        raise click.BadParameter(f"{text!r} is not like source=NAME,reference=NAME")
    return {role.strip(): column.strip() for role, _, column in pairs}


@click.command()
@click.argument("suite", required=False)
@click.option(
    "--systems",
    callback=_systems,
    default=",".join(SYSTEMS),
    show_default=True,
    help="Of llm, slm, hybrid, lossless, lossless-slm, lossless-lookup; llm@ENGINE for another engine.",
)
@click.option("--pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]")
@engine_options
@click.option(
    "--batch-size", type=click.IntRange(1, 4096), default=1, show_default=True, help="Prompts at once."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only N examples, drawn by --seed.")
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=1, show_default=True, help="Times over all examples."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the examples' order.")
@click.option(
    "--max-new-tokens", type=click.IntRange(1, 4096), default=128, show_default=True, help="Longest answer."
)
@click.option(
    "--fixed-length", type=click.IntRange(1, 4096), metavar="N", help="N tokens each: speed, no quality."
)
@click.option("--task", type=click.Choice(list(TASKS)), help="For suites that do not state theirs.")
@click.option(
    "--columns",
    callback=_columns,
    metavar="source=A,reference=B",
    help="Of file: and hf: suites.",
)
@click.option("--memory/--no-memory", default=True, help="Peak memory, in a pass of its own. [default: yes]")
@wait_option
@click.option("--resume", metavar="RUN", help="Go on with a run that was interrupted; see `hybrid runs`.")
@click.pass_context
def bench(ctx: click.Context, /, suite: str | None, resume: str | None, **options: Any) -> None:
    """Measure the systems of a pair on SUITE and store the run; its id is the last line.

    SUITE: everyday-en-de, briefs-en, sacrebleu:wmt20/en-de,
    hf:DATASET:CONFIG:SPLIT or file:PATH.

    Ctrl-C and SIGTERM keep what was measured; the exit code is then 130 or
    143, and `hybrid bench --resume RUN` goes on. Only one measurement runs on
    a machine at a time.
    """
    from hybrid.cli import bench_run

    if resume is None and suite is None:
        raise click.UsageError("Missing argument 'SUITE'; it is not needed with --resume only.")
    if resume is not None:
        _refuse_plan_options(ctx)
    try:
        with stoppable():
            if resume is not None:
                bench_run.go_on(resume, options["wait"], options["memory"])
            else:
                plan = _plan_of(ctx, options)
                bench_run.begin(suite or "", options["columns"], plan, options["wait"], options["memory"])
    except Stopped as stopped:
        ctx.exit(stopped.exit_code)


def _plan_of(ctx: click.Context, options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the Plan that options say; suite and pair are looked up later."""
    if options["fixed_length"] and _is_given(ctx, "max_new_tokens"):
        raise click.UsageError("--fixed-length and --max-new-tokens exclude each other; give one of them.")
    sampling = Sampling(
        options["fixed_length"] or options["max_new_tokens"], bool(options["fixed_length"]), True
    )
    same = (
        "systems",
        "pair",
        "engine",
        "dtype",
        "device",
        "threads",
        "batch_size",
        "limit",
        "repeats",
        "seed",
        "task",
    )
    return {name: options[name] for name in same} | {
        "engine_options": engine_option_pairs(options["engine_option"]),
        "sampling": sampling,
    }


def _refuse_plan_options(ctx: click.Context) -> None:
    given = [
        parameter.human_readable_name if isinstance(parameter, click.Argument) else parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name not in NOT_OF_THE_PLAN and _is_given(ctx, str(parameter.name))
    ]
    if given:
        raise click.UsageError(f"--resume goes on with the stored plan; leave out {', '.join(given)}.")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
