"""In what the runs on one figure differ: short, for the figure itself, and in sentences."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid.compare.warnings import joined, run_differences
from hybrid.schema import Run
from hybrid.store import run_of

# What runs may differ in besides what a figure shows anyway: pair, engine, system.
_KINDS: Mapping[str, Callable[[Run], Hashable]] = {
    "machine": lambda run: (run.environment.device_name, run.environment.cpu, run.environment.cpu_count),
    "software": lambda run: (
        run.environment.product, run.environment.code, run.environment.python, run.environment.system,
        tuple(sorted(run.environment.packages.items())),
    ),
    "precision": lambda run: run.plan.dtype,
    "threads": lambda run: run.plan.threads,
    "batch size": lambda run: run.plan.batch_size,
    "decoding": lambda run: run.plan.sampling,
    "texts": lambda run: (run.plan.suite_hash, (run.plan.limit, run.plan.seed) if run.plan.limit else None),
}  # fmt: skip
# Where these differ, neither time nor quality of two runs can be set against each other.
_APART = ("machine", "threads", "batch size", "decoding", "texts")


@dataclass(frozen=True)
class Between:
    """kinds: of differences, in our own words. sentences: one for each difference, with both values.

    groups: by run id, the same for runs whose absolute numbers can be compared.
    """

    kinds: tuple[str, ...]
    sentences: tuple[str, ...]
    groups: Mapping[str, Hashable]

    @property
    def flag(self) -> str:
        """For the figure; empty when nothing differs."""
        if not self.kinds:
            return ""
        apart = len(set(self.groups.values())) > 1
        return f"These runs differ in {joined(self.kinds)}" + ": do not compare across them" * apart


def between(run_ids: Sequence[str], root: Path | None = None) -> Between:
    """Of stored runs. Raises StoreError."""
    return between_of([run_of(run_id, root) for run_id in run_ids])


def between_of(runs: Sequence[Run]) -> Between:
    """Of runs that are loaded."""
    kinds = [name for name, value in _KINDS.items() if len({value(run) for run in runs}) > 1]
    groups = {run.run_id: tuple(_KINDS[name](run) for name in _APART) for run in runs}
    return Between(tuple(kinds), tuple(run_differences(runs)), groups)
