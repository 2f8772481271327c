"""`hybrid claim`: claims in files, proved or refuted by stored answers, or open."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybrid.benchmark.plan_options import PLAN_OPTIONS
from hybrid.cli.bench import Stopped, say_how_to_go_on, stoppable
from hybrid.cli.console import Terminal, harmless, notice, out, out_json
from hybrid.cli.options import given_options, wait_option, with_options
from hybrid.errors import HybridError
from hybrid.schema import Plan

if TYPE_CHECKING:
    from hybrid.compare.claims import Claim, Judged

OF_RUN = ("engine", "device", "dtype", "threads", "limit", "seed")  # of a plan, what is asked with --run


@click.command()
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--of", "name", metavar="RUN",
    help="The run that is asked; otherwise the one that the claim names, or the newest that it is about.",
)  # fmt: skip
@click.option(
    "--run", "measured", is_flag=True,
    help="Measure until the claim is decided, or --limit or the suite comes to its end.",
)  # fmt: skip
@with_options([option for option in PLAN_OPTIONS if option.name in OF_RUN])
@wait_option
@click.option("--json", "as_list", is_flag=True, help="Print what each claim comes to as one JSON list.")
@click.pass_context
def claim(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    name: str | None,
    measured: bool,
    wait: float,
    as_list: bool,
    **options: Any,
) -> None:
    """Prove or refute the claims in FILEs by stored answers, or say how many more it would take.

    Without FILE those in results/claims, which the Overview shows.

    The exit code is 0 where all are proved, and 1 otherwise. With --run the systems are measured
    side by side on examples in a random order, and the claim is looked at meanwhile: its intervals are
    always-valid ones, so that stopping early is no cheating. What was measured stays, as a run that
    `hybrid bench --resume RUN` completes. A claim is TOML:

    \b
        says = "The hybrid keeps 98 % of the LLM's BLEU and is 3 times as fast"
        suite = "everyday-en-de"
        system = "hybrid"
        baseline = "llm"
        run = "20261130"     # may be left out
        [at_least]
        quality = 0.98       # or a metric: the share of the baseline's score
        end_to_end = 3.0     # or per_token, ttft: the speed-up
    """
    from hybrid.compare.claims import claim_sentence, load_claim
    from hybrid.presentation.claims import CLAIMS, ask, claim_files
    from hybrid.store import results_folder

    if measured and name:
        raise click.UsageError("--run measures a run of its own; leave out --of.")
    if not measured and (surplus := given_options(ctx, ("files", "name", "as_list"))):
        raise click.UsageError(f"Only --run measures anything; leave out {', '.join(surplus)}.")
    if not (paths := files or claim_files()):
        raise click.UsageError(f"Missing argument 'FILE...'; there is none in {results_folder() / CLAIMS}.")
    verdicts = []
    for path, claimed in [(path, load_claim(path)) for path in paths]:
        judged = (
            _measure(ctx, claimed, options, wait) if measured else ask(claimed, name or "", notice=notice)
        )
        verdicts.append(judged)
        if not as_list:
            says = f"{claimed.says} " if claimed.says else ""
            out(harmless(f"{path}: {says}({judged.run_id})"))
            out(harmless(f"  {claim_sentence(judged)}"))
    if as_list:
        out_json([asdict(judged) for judged in verdicts])
    ctx.exit(0 if all(judged.outcome == "proved" for judged in verdicts) else 1)


def _measure(ctx: click.Context, claimed: "Claim", options: Mapping[str, Any], wait_s: float) -> "Judged":
    from hybrid.benchmark.claims import plan_of_claim, run_claim

    settled = {**options, "dtype": options["dtype"] or ""}
    plan = plan_of_claim(claimed, Plan(claimed.suite, blocks=1, **settled))
    try:
        with stoppable(), Terminal() as terminal:
            return run_claim(claimed, plan, terminal, wait_s=wait_s)
    except (HybridError, KeyboardInterrupt) as error:
        say_how_to_go_on(terminal, error, None)
        if isinstance(error, Stopped):
            ctx.exit(error.exit_code)
        raise
