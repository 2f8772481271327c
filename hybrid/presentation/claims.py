"""Claims that stored runs are asked, in files beside them in results/claims or in one's own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hybrid.compare.claims import Claim, Judged, Outcome, claim_sentence, is_about, judge_claim, load_claim
from hybrid.errors import HybridError, InputError
from hybrid.store import find_run, list_runs, load_run, results_folder
from hybrid.store.files import as_store_error

CLAIMS = "claims"  # the folder of results that holds them
MOST_CLAIMS = 30


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """What one file comes to. name: of the file. says: what is claimed.

    outcome: None where it cannot be told; sentence: what the run says of it, or why nothing.
    unbeaten: as of Judged.
    """

    name: str
    says: str
    outcome: Outcome | None
    sentence: str
    run_id: str = ""
    unbeaten: str = ""


def claim_files(root: Path | None = None) -> list[Path]:
    """List the claims beside the stored runs, by name; the first MOST_CLAIMS. Raises StoreError."""
    folder = (root or results_folder()) / CLAIMS
    with as_store_error(f"{folder} cannot be read"):
        return sorted(folder.glob("*.toml"))[:MOST_CLAIMS] if folder.is_dir() else []


def claims_stamp(root: Path | None = None) -> tuple[tuple[str, int], ...]:
    """Give what changes when a claim beside the stored runs does. Raises StoreError."""
    with as_store_error("The claims cannot be read"):
        return tuple((str(path), path.stat().st_mtime_ns) for path in claim_files(root))


def claim_rows(root: Path | None = None) -> Iterator[ClaimRow]:
    """Ask for every claim beside the stored runs; one that cannot be told hides no other."""
    for path in claim_files(root):
        says = path.stem
        try:
            claim = load_claim(path)
            says = claim.says or says
            judged = ask(claim, root=root)
        except HybridError as error:
            yield ClaimRow(name=path.stem, says=says, outcome=None, sentence=str(error))
        else:
            yield ClaimRow(
                name=path.stem, says=says, outcome=judged.outcome, sentence=claim_sentence(judged),
                run_id=judged.run_id, unbeaten=judged.unbeaten,
            )  # fmt: skip


def ask(
    claim: Claim, run: str = "", root: Path | None = None, notice: Callable[[str], None] = lambda _: None
) -> Judged:
    """Judge a claim by `run`, or else the one that it names, or else the newest that it is about.

    notice: told of each thing that is damaged in it, and left out. Raises InputError where none is
    about it, and as judge_claim() does; StoreError.
    """
    name = run or claim.run
    stored = load_run(find_run(name, root) if name else _newest(claim, root), root)
    for problem in stored.problems:
        notice(problem)
    return judge_claim(claim, stored)


def _newest(claim: Claim, root: Path | None) -> str:
    """Find the newest run with answers of both systems to the suite that a claim is about."""
    for summary in list_runs(root).runs:
        plan = summary.run.plan
        both = {system for system in (claim.system, claim.baseline) if not system.trivial} <= set(
            plan.systems
        )
        if both and summary.records and is_about(claim, plan.suite, plan.pair):
            return summary.run.run_id
    raise InputError(
        f"No stored run has answers of {claim.system} and {claim.baseline} to {claim.suite}; "
        f"`hybrid bench {claim.suite}` makes one."
    )
