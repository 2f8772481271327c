"""What `hybrid evaluate` prints: one report, a flat mapping, a line."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hybrid.evaluate import quality, speed, speedups
from hybrid.metrics import METRICS
from hybrid.model.bundle import Bundle
from hybrid.schema import System

Report = Mapping[str, object]


def quality_reports(
    bundle: Bundle, path: Path, task: str, systems: Sequence[System], control: bool, limit: int
) -> Iterator[Report]:
    """A score a system, as each is ready."""
    for one in quality(bundle, [path], task, systems, control, limit):
        yield {
            "file": one.file,
            "system": one.system,
            METRICS[one.score.metric].label: round(one.score.value, 2),
            "n": one.score.n,
            "cut_prompts": one.cut_prompts,
            "signature": one.score.signature,
        }


def speed_reports(
    bundle: Bundle, path: Path, task: str, systems: Sequence[System], limit: int
) -> Iterator[Report]:
    """Median times and speed-ups against the first of `systems`, when all have answered."""
    rows = list(speed(bundle, path, task, systems, limit))
    baseline = systems[0]
    for system, found in speedups(rows, baseline).items():
        times = {key: round(found[key], 2) for key in ("ttft_ms", "tpot_ms", "total_ms")}
        ratios = {f"{key}_vs_{baseline}": round(found[key], 2) for key in ("per_token", "end_to_end")}
        yield {"file": path.name, "system": system, "n": len(rows)} | times | ratios
