"""What one run says of time: percentiles with intervals, ECDFs, phases, speed-up by length. Kept on disk."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from hybrid.compare import Estimate
from hybrid.compare.bootstrap import Resamples
from hybrid.presentation.views.answers import answers as read_answers
from hybrid.presentation.views.kept import kept
from hybrid.presentation.views.tradeoffs.break_even import BreakEven
from hybrid.presentation.views.tradeoffs.distributions import Distribution, distribution
from hybrid.presentation.views.tradeoffs.lengths import Bin, ByLength, Length, by_length
from hybrid.presentation.views.tradeoffs.phases import phase_means
from hybrid.schema import BASELINE, Phase, Plan, System
from hybrid.store import run_of

LATENCIES: Mapping[str, str] = {
    "total": "end-to-end latency",
    "ttft": "time to first token (TTFT)",
    "tpot": "time per output token (TPOT)",
}


@dataclass(frozen=True)
class Times:
    """One system. latencies: of LATENCIES, those measured. phases: mean ms. lengths: may be empty."""

    latencies: Mapping[str, Distribution]
    phases: Mapping[Phase, float]
    lengths: Mapping[Length, ByLength]


@dataclass(frozen=True)
class Tradeoffs:
    """One run. systems: in the order of its plan, those that have answered.

    why: there are no speed-ups by length, in a sentence; empty where there are.
    """

    run_id: str
    batch_size: int
    systems: Mapping[System, Times]
    why: str


def tradeoffs(
    run_id: str, root: Path | None = None, answers: Callable[[], pd.DataFrame] | None = None
) -> Tradeoffs:
    """Of a stored run, kept once it is complete. Raises StoreError.

    answers: gives the run's hybrid.presentation.views.answers, where the caller has them in memory.
    """
    run = run_of(run_id, root)

    def make() -> Tradeoffs:
        frame = answers() if answers else read_answers(run_id, root)
        return tradeoffs_of(run_id, run.plan, frame)

    if run.finished_at is None:
        return make()
    return kept("tradeoffs-1.json", run_id, make, _read, _write, root)


def tradeoffs_of(run_id: str, plan: Plan, answers: pd.DataFrame) -> Tradeoffs:
    """The same of answers that are loaded."""
    draws = Resamples()
    batched = plan.batch_size > 1
    why = _why(run_id, plan, answers)
    lengths = {} if why else by_length(answers, draws)
    found = {}
    for system in plan.systems:
        own = answers[answers["system"] == system]
        if len(own):
            units = pd.factorize(own["batch" if batched else "example_id"].to_numpy())[0]
            latencies = {
                name: distribution(own[f"{name}_ms"].to_numpy(np.float64), units, draws) for name in LATENCIES
            }
            known = {name: one for name, one in latencies.items() if one}
            found[system] = Times(known, phase_means(own), lengths.get(system, {}))
    return Tradeoffs(run_id, plan.batch_size, found, why)


def _why(run_id: str, plan: Plan, answers: pd.DataFrame) -> str:
    if plan.batch_size > 1:
        return (
            f"Run {run_id} is left out: it answered in batches of {plan.batch_size}, whose times belong "
            "to no single length."
        )
    if not (answers["system"] == BASELINE).any():
        return f"Run {run_id} is left out: it has no answers of the LLM to compare with."
    if set(answers["system"]) == {BASELINE}:
        return f"Run {run_id} is left out: it has answers of the LLM only."
    return ""


def _write(found: Tradeoffs, file: IO[bytes]) -> None:
    file.write(json.dumps(asdict(found)).encode())


def _read(path: Path) -> Tradeoffs:
    row = json.loads(path.read_text("utf-8"))
    systems = {System.parse(name): _times(one) for name, one in row["systems"].items()}
    return Tradeoffs(row["run_id"], row["batch_size"], systems, row["why"])


def _times(row: Mapping[str, Any]) -> Times:
    return Times(
        {name: _distribution(one) for name, one in row["latencies"].items()},
        row["phases"],
        {kind: _by_length(one) for kind, one in row["lengths"].items()},
    )


def _distribution(row: Mapping[str, Any]) -> Distribution:
    tuples = {name: tuple(row[name]) for name in ("percentiles", "carried", "values", "shares")}
    return Distribution(p50=Estimate(**row["p50"]), answers=row["answers"], **tuples)


def _by_length(row: Mapping[str, Any]) -> ByLength:
    found = row["break_even"]
    at = Estimate(**found["at"]) if found["at"] else None
    parts = tuple(Bin(**(one | {"ratio": Estimate(**one["ratio"])})) for one in row["bins"])
    return ByLength(parts, BreakEven(**(found | {"at": at})))
