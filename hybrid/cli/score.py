"""`hybrid score`: scores added to stored runs."""

from collections.abc import Sequence

import click

from hybrid.cli.console import notice, out, status


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME",
    help="Only this metric, computed again where it is done otherwise now; may be given several times.",
)  # fmt: skip
def score(names: tuple[str, ...], metrics: tuple[str, ...]) -> None:
    """Score the answers of stored RUNs by what they lack, and store that beside them.

    RUN: an id, the beginning of one, or `latest`; all runs when none is given.
    A benchmark scores itself at its end; this adds metrics that it was not scored
    by, and ends what was interrupted. Answers and times stay as they are.
    """
    from hybrid.benchmark.scoring import score_run
    from hybrid.errors import HybridError
    from hybrid.metrics import METRICS
    from hybrid.schema import Event, Notice, Status
    from hybrid.store import find_run

    run_ids = list(dict.fromkeys(find_run(name) for name in names)) or _all_runs(metrics)
    with status("Scoring") as say:
        for run_id in run_ids:

            def observe(event: Event, run_id: str = run_id) -> None:
                if isinstance(event, Status):
                    say(f"{run_id}: {event.sentence}")
                elif isinstance(event, Notice):
                    notice(event.sentence)

            try:
                computed = score_run(run_id, metrics or None, observe)
            except HybridError as error:
                if names:
                    raise
                notice(f"Run {run_id}: {error}")
                continue
            out(f"{run_id}: {', '.join(METRICS[name].label for name in computed) or 'nothing was lacking'}")


def _all_runs(metrics: Sequence[str]) -> list[str]:
    """Ids of the runs that these metrics, or any, can judge. Raises InputError for an unknown metric."""
    from hybrid.errors import InputError
    from hybrid.metrics import METRICS
    from hybrid.store import list_runs

    for name in metrics:
        if name not in METRICS:
            raise InputError(f"There is no metric {name!r}; available: {', '.join(METRICS)}.")
    listing = list_runs()
    for problem in listing.problems:
        notice(problem)
    return [
        summary.run.run_id
        for summary in listing.runs
        if not summary.run.plan.sampling.ignore_eos
        and all(summary.run.plan.task in METRICS[name].tasks for name in metrics)
    ]
