"""`hybrid claim`: claims in files, proved or refuted by stored answers, or open."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hybrid.cli.console import harmless, notice, out, out_json
from hybrid.errors import InputError

if TYPE_CHECKING:
    from hybrid.compare.claims import Claim


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--of", "name", metavar="RUN",
    help="The run that is asked; otherwise the one that the claim names, or the newest that it is about.",
)  # fmt: skip
@click.option("--json", "as_list", is_flag=True, help="Print what each claim comes to as one JSON list.")
@click.pass_context
def claim(ctx: click.Context, files: tuple[Path, ...], name: str | None, as_list: bool) -> None:
    """Prove or refute the claims in FILEs by stored answers, or say how many more it would take.

    The exit code is 0 where all are proved, and 1 otherwise. A claim is TOML:

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
    from hybrid.compare.claims import claim_sentence, judge_claim, load_claim
    from hybrid.store import find_run, load_run

    verdicts = []
    for path in files:
        claimed = load_claim(path)
        stored = load_run(find_run(run) if (run := name or claimed.run) else _newest(claimed))
        for problem in stored.problems:
            notice(problem)
        verdicts.append(judge_claim(claimed, stored))
        if not as_list:
            says = f"{claimed.says} " if claimed.says else ""
            out(harmless(f"{path}: {says}({stored.run.run_id})"))
            out(harmless(f"  {claim_sentence(verdicts[-1])}"))
    if as_list:
        out_json([asdict(judged) for judged in verdicts])
    ctx.exit(0 if all(judged.outcome == "proved" for judged in verdicts) else 1)


def _newest(claimed: "Claim") -> str:
    """Find the newest run with answers of both systems to the suite that a claim is about."""
    from hybrid.compare.claims import is_about
    from hybrid.store import list_runs

    for summary in list_runs().runs:
        plan = summary.run.plan
        both = {claimed.system, claimed.baseline} <= set(plan.systems)
        if both and summary.records and is_about(claimed, plan.suite, plan.pair):
            return summary.run.run_id
    raise InputError(
        f"No stored run has answers of {claimed.system} and {claimed.baseline} to {claimed.suite}; "
        f"`hybrid bench {claimed.suite}` makes one."
    )
