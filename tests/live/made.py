"""Answers that nobody measured."""

from collections.abc import Sequence

from hybrid.schema import FinishReason, Generation, System, Timing


def generation(system: str, token_times_s: Sequence[float], finish: FinishReason = "eos") -> Generation:
    """An answer whose token ids are 1, 2, 3 ... known at the given seconds; detokenizing takes 0.01 s."""
    ids = tuple(range(1, len(token_times_s) + 1))
    timing = Timing({"decode": token_times_s[-1], "detokenize": 0.01}, tuple(token_times_s))
    return Generation(
        system=System.parse(system),
        text=letters(ids),
        token_ids=ids,
        prompt_tokens=5,
        finish_reason=finish,
        timing=timing,
    )


def letters(ids: Sequence[int]) -> str:
    """1, 2, 3 ... as abc..."""
    return "".join(chr(96 + i) for i in ids)
