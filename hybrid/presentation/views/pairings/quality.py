"""Quality kept by pairs of sizes: only of what was trained and run; nothing about it is ever predicted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hybrid.compare.paired import quality_ratio
from hybrid.errors import StoreError
from hybrid.metrics import METRICS, metrics_of
from hybrid.models.manifest import MANIFEST, file_sha256, zoo
from hybrid.models.shapes import Shape
from hybrid.presentation.views.catalog import Entry
from hybrid.presentation.views.digest import Digest, number
from hybrid.presentation.views.pairings.sources import Device
from hybrid.schema import BASELINE, TASKS, System

SYSTEM = System("hybrid")
TRAINED = ("bundled-llm", "bundled-slm")  # the one pair whose sizes are known by name
LOOKED_AT = 4  # runs at the most, until one is of these weights


@dataclass(frozen=True)
class Quality:
    """What the hybrid keeps of its LLM's quality in one run.

    kept: 1 is all of it. difference: in points of `metric`; low, high: its interval.
    """

    entry: Entry
    metric: str
    kept: float
    difference: float
    low: float | None
    high: float | None
    n: int

    @property
    def sentence(self) -> str:
        """Plain text; names from elsewhere in it."""
        ends = "" if self.low is None or self.high is None else f" [{self.low:+.1f}, {self.high:+.1f}]"
        entry = self.entry
        return (
            f"{100 * self.kept:.1f} % of the LLM's {self.metric} kept ({self.difference:+.1f} points{ends}, "
            f"n = {self.n}) on {entry.suite}, {entry.engines[0]} in {entry.dtype} on {entry.device_name}, "
            f"run {entry.run_id}"
        )


def trained_pair(shapes: Mapping[str, Shape]) -> str | None:
    """The name of the pair that is here with its weights; None when there is none."""
    return shapes[TRAINED[0]].source.rpartition("/")[0] if TRAINED[0] in shapes else None


def quality_runs(entries: Sequence[Entry], shapes: Mapping[str, Shape]) -> list[Entry]:
    """Complete runs of the trained pair that carry quality, in the order of the entries."""
    pair = trained_pair(shapes)
    return [
        entry for entry in entries
        if entry.pair == pair and entry.complete and not entry.fixed_length and entry.task in TASKS
        and {SYSTEM, BASELINE} <= set(entry.systems)
    ]  # fmt: skip


def quality(
    runs: Sequence[Entry], device: Device, pair: str, digest: Callable[[str], Digest]
) -> Quality | None:
    """Of the newest run in the device's engine and precision, or the newest of all; None without one.

    runs: of one suite, from quality_runs(). Runs of other weights under the same name do not count.
    digest: may raise StoreError; then the run is passed over.
    """
    try:
        weights = file_sha256(zoo() / pair / MANIFEST)
    except OSError:
        return None
    here = device.engine, device.dtype, device.environment.device_name
    alike = sorted(runs, key=lambda one: (one.engines[0], one.dtype, one.device_name) != here)
    for entry in alike[:LOOKED_AT]:
        try:
            said = digest(entry.run_id)
        except StoreError:
            continue
        if found := _quality(entry, said, weights):
            return found
    return None


def _quality(entry: Entry, said: Digest, weights: str) -> Quality | None:
    metric = metrics_of(entry.task)[0]
    row, base = said.rows.get(SYSTEM, {}), said.rows.get(BASELINE, {})
    ours, theirs, difference = number(row, metric), number(base, metric), number(row, f"{metric}_vs_llm")
    if row.get("weights_sha256") != weights or ours is None or theirs is None or difference is None:
        return None
    kept = quality_ratio(METRICS[metric].higher_is_better, ours, theirs)
    if kept is None:
        return None
    ends = number(row, f"{metric}_vs_llm_low"), number(row, f"{metric}_vs_llm_high")
    return Quality(entry, METRICS[metric].label, kept, difference, *ends, n=int(number(row, "n") or 0))
