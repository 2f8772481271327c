"""The columns of every table of compared systems, as data: CSV, terminal, pages and report render them.

A Column has one value for a system: a number, a text, an Estimate with its interval,
a Latency with its percentiles. People read that in one cell, written by its kind; CSV
has a column for each part of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from hybrid.compare.bootstrap import Difference, Estimate
from hybrid.compare.paired import SPEEDUPS, PairedComparison
from hybrid.compare.summary import PERCENTILES, Latency, Summary
from hybrid.metrics import Metric
from hybrid.store.tables import Cell

Value = Cell | Estimate | Latency
# How a value is written for people, and into which parts CSV takes it apart.
Kind = Literal[
    "text", "count", "decimal", "amount", "share", "half", "bytes", "ms", "flop", "flop/s",  # one cell
    "estimate", "difference", "ratio", "latency",  # several
]  # fmt: skip

_INTERVAL = {"_low": "lower end of its interval", "_high": "upper end of its interval"}
_P_VALUE = (
    "two-sided p-value, below 0.05 where the 95 % interval leaves out 0; empty below n = 6; "
    "neither is corrected for several systems"
)
_PARTS: Mapping[Kind, Mapping[str, str]] = {  # beside the value itself
    "estimate": _INTERVAL,
    "difference": _INTERVAL | {"_p": _P_VALUE},
    "ratio": _INTERVAL | {"_n": "pairs behind it"},
}


class Compared(Protocol):
    """A system that a column has a value of, such as a ComparedSystem. against: None for a baseline."""

    @property
    def summary(self) -> Summary: ...
    @property
    def against(self) -> PairedComparison | None: ...


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table of systems.

    name: in CSV, unit included. meaning: in a few words. label: as a heading for
    people, without the unit. digits: decimals where the kind leaves them open. value: of one
    system; None for what is not known. optional: of no interest where no system
    has a value. unit: for people, behind an estimate, where the heading does not say it.
    """

    name: str
    meaning: str
    label: str
    kind: Kind
    value: Callable[[Compared], Value]
    digits: int = 1
    optional: bool = False
    unit: str = ""

    def names(self) -> dict[str, str]:
        """Name the columns of CSV that it takes, with their meanings."""
        if self.kind == "latency":
            percentiles = {
                f"{self.name}_ms_p{p}": f"{self.meaning}, percentile {p} over all answers"
                for p in PERCENTILES
            }
            return percentiles | {
                f"{self.name}_n": "examples, or batches, behind it",
                f"{self.name}_carried": "the percentiles that n can carry; others are guesses",
            }
        parts = _PARTS.get(self.kind, {})
        return {self.name: self.meaning} | {f"{self.name}{end}": meaning for end, meaning in parts.items()}

    def cells(self, system: Compared) -> dict[str, Cell]:
        """Take the value apart into the cells of CSV, not corrected; what is not known is left out."""
        value = self.value(system)
        if isinstance(value, Difference):
            value = value.uncorrected or value
        if isinstance(value, Latency):
            percentiles = (value.p50_ms, value.p90_ms, value.p99_ms)
            cells: dict[str, Cell] = {
                f"{self.name}_ms_p{p}": ms for p, ms in zip(PERCENTILES, percentiles, strict=True)
            }
            carried = " ".join(f"p{p}" for p in value.carried)
            return cells | {f"{self.name}_n": value.n, f"{self.name}_carried": carried}
        if not isinstance(value, Estimate):
            return {self.name: value}
        parts: dict[str, Cell] = {"": value.value, "_low": value.low, "_high": value.high, "_n": value.n}
        if isinstance(value, Difference):
            parts["_p"] = value.p_value
        return {f"{self.name}{end}": parts[end] for end in ("", *_PARTS[self.kind])}


_Part = Literal["summary", "memory", "roofline", "against", "gate"]


def column_of(
    part: _Part, name: str, kind: Kind, label: str, meaning: str,
    field: str = "", digits: int = 1, optional: bool = False,
) -> Column:  # fmt: skip
    """Make a column of what a part of the comparison holds. field: its name there, where it is another."""

    def value(system: Compared) -> Value:
        whole = {"summary": system, "against": system, "gate": system.against}.get(part, system.summary)
        return getattr(getattr(whole, part, None), field or name, None)  # what is not known has no fields

    return Column(
        name=name, meaning=meaning, label=label, kind=kind, value=value, digits=digits, optional=optional
    )


def quality(metric: Metric) -> Column:
    """Make the column of a metric's scores."""
    return Column(
        name=metric.name,
        meaning=f"{metric.label}, {metric.scale}",
        label=metric.label + (" (low is good)" if _is_cost(metric) else ""),
        kind="estimate",
        value=lambda system: (system.summary.quality or {}).get(metric.name),
        digits=1 if metric.unit == "points" else 2,
    )


def _is_cost(metric: Metric) -> bool:
    """Tell whether the heading must say that less is better; of faults nobody doubts it."""
    return metric.higher_is_better is False and not metric.catches


def difference(metric: Metric) -> Column:
    """Make the column of a metric's paired differences."""
    return Column(
        name=f"{metric.name}_vs_llm",
        meaning="this system's minus the LLM's, over the examples both answered",
        label=quality(metric).label,
        kind="difference",
        value=lambda system: ((system.against and system.against.differences) or {}).get(metric.name),
    )


def _latency(name: str, label: str, meaning: str) -> Column:
    return Column(
        name=name, meaning=meaning, label=label, kind="latency",
        value=lambda system: system.summary.latencies.get(name),
    )  # fmt: skip


def _speedup(name: str, latency: Column) -> Column:
    return Column(
        name=f"speedup_{name}",
        meaning=f"LLM's {latency.meaning} over this system's, median of paired ratios",
        label=latency.label,
        kind="ratio",
        value=lambda system: system.against.speedups[name] if system.against else None,
    )


def _spread(name: str, part: Literal["between", "within"], label: str) -> Column:
    return Column(
        name=f"speedup_{name}_{part}",
        meaning=f"what spread {label} alone would make of the half width of its interval, a share of it",
        label=label,
        kind="half",
        value=lambda system: getattr(system.against and system.against.speedups[name], part, None),
        optional=True,
    )


SYSTEM = column_of(
    "summary", "system", "text", "system",
    "llm, slm, hybrid, lossless ...; with @ENGINE when it is not the run's own",
)  # fmt: skip
N = column_of("summary", "n", "count", "n", "examples answered")
ANSWERS = column_of("summary", "answers", "count", "answers", "answers measured, repeats included")
TOKENS = column_of(
    "summary", "output_tokens_mean", "decimal", "tokens an answer",
    "tokens of an answer, end of sequence included", "mean_output_tokens",
)  # fmt: skip
STOPPED = column_of(
    "summary", "stopped_share", "share", "stopped",
    "share of answers that ended at max_new_tokens, 0 to 1",
)  # fmt: skip
LATENCY_COLUMNS: Mapping[str, Column] = {
    "total": _latency("total", "end to end", "end-to-end latency"),
    "ttft": _latency("ttft", "first token (TTFT)", "time to first token"),
    "tpot": _latency("tpot", "per token (TPOT)", "time per output token"),
}
SPEEDUP_COLUMNS: Mapping[str, Column] = {
    name: _speedup(name, LATENCY_COLUMNS[latency]) for name, latency in SPEEDUPS.items()
}
LENGTH_RATIO = column_of(
    "against", "length_ratio_to_llm", "estimate", "length",
    "words of all outputs over words of the LLM's", "length_ratio", digits=2,
)  # fmt: skip
AGREEMENT = column_of(
    "against", "agreement_with_llm", "share", "same text",
    "share of outputs equal to the LLM's, 0 to 1", "agreement",
)  # fmt: skip
GATE = (
    column_of(
        "gate", "gate", "text", "99 % target",
        "may it stand in for the LLM, by the intervals: meets, misses or undecided", "verdict",
    ),
    column_of(
        "gate", "quality_ratio_to_llm", "estimate", "quality kept",
        "score by the main metric over the LLM's, above 1 is better", "quality", digits=3,
    ),
)  # fmt: skip
THROUGHPUT = (
    column_of(
        "summary", "tokens_per_s", "amount", "tokens/s",
        "output tokens over the time in which answers were made",
    ),
    column_of(
        "summary", "characters_per_s", "amount", "characters/s", "output characters over the same time"
    ),
    column_of("summary", "requests_per_s", "amount", "requests/s", "answers over the same time"),
)  # fmt: skip
MEMORY = column_of(
    "memory", "peak_resident_bytes", "bytes", "peak memory",
    "peak memory of a process of its own, libraries included", "resident", digits=0,
)  # fmt: skip
BEFORE_MODEL = column_of(
    "memory", "before_model_bytes", "bytes", "before the model",
    "the same before the model was loaded", "before_model", digits=0,
)  # fmt: skip
DEVICE_MEMORY = column_of(
    "memory", "peak_device_bytes", "bytes", "of the GPU",
    "peak of the GPU's allocator; 0 on a CPU", "device", digits=0,
)  # fmt: skip
ACCEPTANCE = column_of(
    "summary", "acceptance", "share", "drafts accepted",
    "share of drafted tokens that the LLM agreed with, 0 to 1; of the lossless systems", optional=True,
)  # fmt: skip
COST = column_of(
    "summary", "cost_per_million_tokens", "amount", "cost of 1M output tokens",
    "of output, at the price of the machine", optional=True,
)  # fmt: skip
BOUND = column_of(
    "roofline", "decode_bound_ms", "ms", "at least, ms",
    "time in which memory_bandwidth reads decode_bytes: the least a token can take", optional=True,
)  # fmt: skip
BOUND_SHARE = column_of(
    "roofline", "decode_bound_share", "share", "bandwidth achieved",
    "decode_bound_ms over the median time per output token, 0 to 1", optional=True,
)  # fmt: skip
FLOPS_PER_S = column_of(
    "roofline", "encode_flops_per_s", "flop/s", "achieved",
    "operations on the prompt over the median time of reading it", optional=True,
)  # fmt: skip
BLOCKS = column_of(
    "summary", "blocks", "count", "blocks", "processes that the answers were dealt to, one after another"
)
# The parts of the interval's half width, by speed-up: between blocks, and between examples.
SPREADS: Mapping[str, tuple[Column, Column]] = {
    name: (
        _spread(name, "between", "between blocks"),
        _spread(name, "within", "between examples"),
    )
    for name in SPEEDUPS
}
DISTURBED = column_of(
    "summary", "disturbed", "count", "disturbed",
    "answers in which the process was stopped or starved: left out of all times",
)  # fmt: skip
BUSY = Column(
    name="busy", label="busy machine", kind="text",
    meaning="whether it was measured on a busy machine; empty where the machine was not probed",
    value=lambda system: None if system.summary.busy is None else bool(system.summary.busy),
)  # fmt: skip
BUSY_WHY = Column(
    name="busy_why", label="why", kind="text", meaning="what moved, or who took what, meanwhile",
    value=lambda system: "; ".join(system.summary.busy or ()) or None,
)  # fmt: skip
