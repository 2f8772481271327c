"""Which system of which run the others are compared with."""

from hybrid.compare.measured import Measured
from hybrid.errors import InputError
from hybrid.schema import METHODS, System
from hybrid.store import StoredRun

Named = dict[str, tuple[StoredRun, dict[System, Measured]]]  # by run id


def choose_baseline(baseline: str, run_id: str, runs: Named) -> Measured:
    """The baseline for the systems of one run.

    baseline: a system, of the same run or else of the first that has it; or
    `RUN:SYSTEM`. Raises InputError when there is none.
    """
    where, _, name = baseline.rpartition(":")
    try:
        system = System.parse(name)
    except ValueError as error:
        raise InputError(
            f"The baseline {baseline!r} is no system; available: {', '.join(METHODS)}, "
            "llm@ENGINE, or RUN:llm and so on."
        ) from error
    if where and where not in runs:
        raise InputError(f"The baseline's run {where} is not among those given: {', '.join(runs)}.")
    order = [where] if where else [run_id, *runs]
    for run in order:
        for found in runs[run][1].values():
            if found.system == system:
                return found
    there = ", ".join(dict.fromkeys(one for run in order for one in runs[run][1]))
    if where:
        raise InputError(f"Run {where} has no answers of the baseline {system}; it has those of {there}.")
    raise InputError(f"No run given has answers of the baseline {system}; there are those of {there}.")
