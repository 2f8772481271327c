"""Stored runs compared: quality with intervals, paired speed-ups, a verdict in a sentence.

    from hybrid.store import load_run
    comparison = compare_runs([load_run("latest")], baseline="llm")
    for system in comparison.systems:
        print(system.verdict)

Nothing is measured or scored here: a stored record holds what its scores are
made of, so that a comparison is sums over resampled examples.
"""

from hybrid.compare.bootstrap import Difference, Estimate, Ratio
from hybrid.compare.claims import Claim, Judged, claim_sentence, judge_claim, load_claim
from hybrid.compare.comparison import ComparedSystem, Comparison, as_json, compare_runs
from hybrid.compare.export import COLUMNS, summaries
from hybrid.compare.judgements import Acceptability, acceptability, begin_judgements
from hybrid.compare.paired import Fidelity, Gate, PairedComparison
from hybrid.compare.summary import Latency, Roofline, Summary, summarize

__all__ = [
    "COLUMNS",
    "Acceptability",
    "Claim",
    "ComparedSystem",
    "Comparison",
    "Difference",
    "Estimate",
    "Fidelity",
    "Gate",
    "Judged",
    "Latency",
    "PairedComparison",
    "Ratio",
    "Roofline",
    "Summary",
    "acceptability",
    "as_json",
    "begin_judgements",
    "claim_sentence",
    "compare_runs",
    "judge_claim",
    "load_claim",
    "summaries",
    "summarize",
]
