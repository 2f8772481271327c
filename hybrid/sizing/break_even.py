"""From which answer on, and up to which prompt, a hybrid is predicted to be faster than its LLM."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hybrid.format import counted
from hybrid.sizing.prediction import REACH, Pair, Request, beyond, predicted
from hybrid.sizing.profile import Profile

LONGEST = 8192  # tokens that are looked at, of prompts and of answers
_LOOKED_AT: tuple[int, ...] = tuple(
    sorted({round(float(LONGEST) ** (i / 24)) for i in range(25)})
)  # before halving in between


@dataclass(frozen=True)
class BreakEven:
    """Where the hybrid begins and ceases to be the faster one, at the sizes of `request` otherwise.

    output: the shortest answer from which on it is. prompt: the longest prompt up
    to which it is. None: at no length up to LONGEST; LONGEST: at all of them, for
    `prompt`. profiled: the longest answer and prompt that are not extrapolated.
    """

    request: Request
    output: int | None
    prompt: int | None
    profiled: tuple[int, int] = (LONGEST, LONGEST)

    @property
    def sentences(self) -> tuple[str, str]:
        """Both in words."""
        return self._of_answers(), self._of_prompts()

    def _of_answers(self) -> str:
        at = f"With prompts of {counted(self.request.prompt, 'token')}, the hybrid is"
        if self.output is None:
            mark = self._mark(LONGEST, self.profiled[0])
            return f"{at} slower than the LLM at any length of answer up to {LONGEST:,} tokens{mark}."
        if self.output == 1:
            return f"{at} faster than the LLM from the first token on."
        mark = self._mark(self.output, self.profiled[0])
        return f"{at} faster than the LLM when answers have {self.output:,} tokens or more{mark}."

    def _of_prompts(self) -> str:
        at = f"With answers of {counted(self.request.output, 'token')}, it is"
        if self.prompt is None:
            return f"{at} slower at any length of prompt."
        mark = self._mark(self.prompt, self.profiled[1])
        if self.prompt == LONGEST:
            return f"{at} faster at any length of prompt up to {LONGEST:,} tokens{mark}."
        return f"{at} faster when prompts have {counted(self.prompt, 'token')} or fewer{mark}."

    @staticmethod
    def _mark(tokens: int, profiled: int) -> str:
        if tokens <= profiled:
            return ""
        return f" (≈, extrapolated beyond {profiled:,})" if profiled > 0 else " (≈, extrapolated)"


def break_even(pair: Pair, request: Request, profile: Profile) -> BreakEven:
    """Both lengths, each with all else as in `request`."""

    def gains(changed: Request) -> bool:
        return (
            predicted("hybrid", pair, changed, profile).total_s
            < predicted("llm", pair, changed, profile).total_s
        )

    longest = max(costs.tokens for costs in profile.encode)
    answers, prompts = REACH * longest - request.prompt, longest
    return BreakEven(
        request,
        output=_from_which_on(lambda tokens: gains(replace(request, output=tokens))),
        prompt=_up_to_which(lambda tokens: gains(replace(request, prompt=tokens))),
        profiled=(
            0 if beyond(profile, replace(request, output=1)) else answers,
            0 if beyond(profile, replace(request, prompt=longest, output=1)) else prompts,
        ),
    )


def _from_which_on(holds: Callable[[int], bool]) -> int | None:
    """Find the least number of tokens from which on `holds` up to LONGEST; None when not even there."""
    failing = [tokens for tokens in _LOOKED_AT if not holds(tokens)]
    if not failing:
        return 1
    if failing[-1] == LONGEST:
        return None
    low, high = failing[-1], _LOOKED_AT[_LOOKED_AT.index(failing[-1]) + 1]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _up_to_which(holds: Callable[[int], bool]) -> int | None:
    """Find the greatest number of tokens up to which `holds`, LONGEST at the most; None when never."""
    failing = next((tokens for tokens in _LOOKED_AT if not holds(tokens)), None)
    if failing is None:
        return LONGEST
    if failing == 1:
        return None
    low, high = _LOOKED_AT[_LOOKED_AT.index(failing) - 1], failing
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
