"""One row per system of a stored run: flat, with stable column names, for CSV and charts."""

from collections.abc import Mapping

from hybrid.compare.bootstrap import Estimate, Resamples
from hybrid.compare.paired import SPEEDUPS, PairedComparison, paired_comparison
from hybrid.compare.results import LATENCIES, SystemResults, results_by_system
from hybrid.compare.summary import PERCENTILES, Summary, summarize
from hybrid.metrics import METRICS
from hybrid.schema import BASELINE, Run
from hybrid.store import CONDITIONS, StoredRun, conditions
from hybrid.store.tables import Cell

_COUNTS = {
    "system": "llm, slm, hybrid, lossless ...; with @ENGINE when it is not the run's own",
    "n": "examples answered",
    "answers": "answers measured, repeats included",
    "output_tokens_mean": "tokens of an answer, end of sequence included",
    "stopped_share": "share of answers that ended at max_new_tokens, 0 to 1",
}
_OUTPUT = {
    "tokens_per_s": "output tokens over the time in which answers were made",
    "characters_per_s": "output characters over the same time",
    "requests_per_s": "answers over the same time",
    "peak_resident_bytes": "peak memory of a process of its own, libraries included",
    "before_model_bytes": "the same before the model was loaded",
    "peak_device_bytes": "peak of the GPU's allocator; 0 on a CPU",
    "length_ratio_to_llm": "words of all outputs over words of the LLM's",
    "length_ratio_to_llm_low": "lower end of its interval",
    "length_ratio_to_llm_high": "upper end of its interval",
    "agreement_with_llm": "share of outputs equal to the LLM's, 0 to 1",
    "interval_resamples": "bootstrap resamples behind every _low and _high (95 %, percentile)",
    "interval_seed": "of those resamples",
    "acceptance": "share of drafted tokens that the LLM agreed with, 0 to 1; of the lossless systems",
    "decode_bound_ms": "time in which memory_bandwidth reads decode_bytes: the least a token can take",
    "decode_bound_share": "decode_bound_ms over the median time per output token, 0 to 1",
    "encode_flops_per_s": "operations on the prompt over the median time of reading it",
}

_SCALES = {
    "ter": "edits per 100 reference words, may exceed 100",
    "length": "words over the references' words",
}


def _quality_columns() -> dict[str, str]:
    found = {}
    for name, metric in METRICS.items():
        found[name] = f"{metric.label}, {_SCALES.get(name, '0 to 100')}"
        found[f"{name}_low"], found[f"{name}_high"] = "lower end of its interval", "upper end of its interval"
        found[f"{name}_signature"] = "how it was computed"
        if metric.higher_is_better is None:
            continue
        found[f"{name}_vs_llm"] = "this system's minus the LLM's, over the examples both answered"
        found[f"{name}_vs_llm_low"] = "lower end of its interval"
        found[f"{name}_vs_llm_high"] = "upper end of its interval"
        found[f"{name}_vs_llm_p"] = (
            "sacrebleu's paired bootstrap p-value; a small one is about half of a two-sided p, "
            "and the interval decides"
        )
    return found


def _speed_columns() -> dict[str, str]:
    words = {"total": "end-to-end latency", "ttft": "time to first token", "tpot": "time per output token"}
    found = {}
    for name in LATENCIES:
        for p in PERCENTILES:
            found[f"{name}_ms_p{p}"] = f"{words[name]}, percentile {p} over all answers"
        found[f"{name}_n"] = "examples, or batches, behind it"
        found[f"{name}_carried"] = "the percentiles that n can carry; others are guesses"
    for name, latency in SPEEDUPS.items():
        found[f"speedup_{name}"] = f"LLM's {words[latency]} over this system's, median of paired ratios"
        found[f"speedup_{name}_low"] = "lower end of its interval"
        found[f"speedup_{name}_high"] = "upper end of its interval"
        found[f"speedup_{name}_n"] = "pairs behind it"
    return found


# Name and meaning of every column, in order: an interface, names are only ever added.
COLUMNS: Mapping[str, str] = dict(CONDITIONS) | _COUNTS | _quality_columns() | _speed_columns() | _OUTPUT


def summaries(stored: StoredRun, resamples: int = 1000, seed: int = 0) -> list[dict[str, Cell]]:
    """A row for each system that has answered something, each with all of COLUMNS.

    Comparisons are with the run's own LLM: None for itself, and where there is none.
    """
    draws = Resamples(resamples, seed)
    systems = results_by_system(stored)
    llm = systems.get(BASELINE)
    return [_row(one, llm, draws) for one in systems.values()]


def _row(one: SystemResults, llm: SystemResults | None, draws: Resamples) -> dict[str, Cell]:
    comparable = llm is not None and one is not llm and not set(one.ids).isdisjoint(llm.ids)
    found = paired_comparison(one, llm, draws) if llm and comparable else None
    summary = summarize(one, draws)
    cells = (
        conditions(one.run, one.run.environment, one.system)
        | _of_summary(one.run, summary)
        | (_of_against(found) if found else {})
    )
    cells |= {"interval_resamples": draws.resamples, "interval_seed": draws.seed}
    return {name: cells.get(name) for name in COLUMNS}


def _of_summary(run: Run, summary: Summary) -> dict[str, Cell]:
    cells: dict[str, Cell] = {
        "system": summary.system,
        "n": summary.n,
        "answers": summary.answers,
        "output_tokens_mean": summary.mean_output_tokens,
        "stopped_share": summary.stopped_share,
        "tokens_per_s": summary.tokens_per_s,
        "characters_per_s": summary.characters_per_s,
        "requests_per_s": summary.requests_per_s,
    }
    if bound := summary.roofline:
        cells |= {"decode_bound_ms": bound.decode_bound_ms, "decode_bound_share": bound.decode_bound_share}
        cells["encode_flops_per_s"] = bound.encode_flops_per_s
    cells["acceptance"] = summary.acceptance
    for name, found in (summary.quality or {}).items():
        cells |= _with_interval(name, found) | {f"{name}_signature": run.signatures.get(name)}
    for name, latency in summary.latencies.items():
        if latency:
            values = (latency.p50_ms, latency.p90_ms, latency.p99_ms)
            cells |= {f"{name}_ms_p{p}": value for p, value in zip(PERCENTILES, values, strict=True)}
            cells[f"{name}_n"] = latency.n
            cells[f"{name}_carried"] = " ".join(f"p{p}" for p in latency.carried)
    if memory := summary.memory:
        cells["peak_resident_bytes"] = memory.resident
        cells["before_model_bytes"] = memory.before_model
        cells["peak_device_bytes"] = memory.device
    return cells


def _of_against(found: PairedComparison) -> dict[str, Cell]:
    cells: dict[str, Cell] = {"agreement_with_llm": found.agreement}
    for name, one in (found.differences or {}).items():
        cells |= _with_interval(f"{name}_vs_llm", one) | {f"{name}_vs_llm_p": one.p_value}
    for name, speedup in found.speedups.items():
        cells |= _with_interval(f"speedup_{name}", speedup)
        cells[f"speedup_{name}_n"] = speedup.n if speedup else None
    return cells | _with_interval("length_ratio_to_llm", found.length_ratio)


def _with_interval(name: str, found: Estimate | None) -> dict[str, Cell]:
    if found is None:
        return {}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
