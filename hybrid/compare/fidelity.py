"""Whether a lossless system wrote what the LLM writes: counted in each run, never taken for granted.

Verified drafts are the LLM's own ids in exact arithmetic. A pass over several positions rounds
otherwise than one over each, so that in 16 bits near ties fall the other way in some answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hybrid.compare.results import SystemResults, shared
from hybrid.schema import BASELINE, METHODS, System


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How many answers of a lossless system are the LLM's, letter by letter.

    llm: the one of the same run that it is set against, of the same engine and precision where there
        is one. alike: whether there is.
    dtype: the precision of the lossless system. llm_dtype: that of the LLM.
    equal, n: of the examples that both answered, those with the same text; and all.
    """

    llm: System
    alike: bool
    dtype: str
    llm_dtype: str
    equal: int
    n: int


def fidelity(results: SystemResults, systems: Mapping[System, SystemResults]) -> Fidelity | None:
    """Count the answers that equal the LLM's. systems: of the same run.

    None for systems that are not lossless, and where the run has no answers of an LLM to set them against.
    """
    run = results.run
    if not METHODS[results.system.method].lossless or run.plan.sampling.ignore_eos:
        return None
    ran = run.ran_as(results.system)
    llms = sorted(
        (system for system in systems if system.method == BASELINE.method),
        key=lambda system: (_arithmetic(systems[system]) != (ran.engine, ran.dtype), system != BASELINE),
    )
    if not llms:
        return None
    llm = systems[llms[0]]
    pairs = list(zip(*shared(results, llm), strict=True))
    if not pairs:
        return None
    equal = sum(results.firsts[i].generation.text == llm.firsts[j].generation.text for i, j in pairs)
    engine, dtype = _arithmetic(llm)
    return Fidelity(
        llm=llm.system, alike=(engine, dtype) == (ran.engine, ran.dtype), dtype=ran.dtype,
        llm_dtype=dtype, equal=equal, n=len(pairs),
    )  # fmt: skip


def _arithmetic(results: SystemResults) -> tuple[str, str]:
    ran = results.run.ran_as(results.system)
    return ran.engine, ran.dtype
