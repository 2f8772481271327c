"""From which answer length on, and up to which prompt length, a hybrid is faster than its LLM.

The hybrid pays on reading, where it does more than the LLM, and gains with each
token that it writes: the longer the answer and the shorter the prompt, the better.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hybrid.sizing.profile import Profile
from hybrid.sizing.request import Pair, Request, predicted

LONGEST = 8192  # tokens that are looked at, of prompts and of answers


@dataclass(frozen=True)
class BreakEven:
    """Where the hybrid begins and ceases to be the faster one, at the sizes of `request` otherwise.

    output: the shortest answer with which it is. prompt: the longest prompt.
    None: at no length up to LONGEST; LONGEST: at all of them, for `prompt`.
    """

    request: Request
    output: int | None
    prompt: int | None

    @property
    def sentences(self) -> tuple[str, str]:
        """Both in words."""
        given = self.request
        at = f"with prompts of {given.prompt} tokens"
        if self.output is None:
            output = f"{at.capitalize()}, the hybrid is slower than the LLM at any length of answer."
        elif self.output == 1:
            output = f"{at.capitalize()}, the hybrid is faster than the LLM from the first token on."
        else:
            output = (
                f"{at.capitalize()}, the hybrid is faster than the LLM when answers have "
                f"{self.output} tokens or more."
            )
        at = f"With answers of {given.output} token{'s' * (given.output > 1)}"
        if self.prompt is None:
            return output, f"{at}, it is slower at any length of prompt."
        if self.prompt == LONGEST:
            return output, f"{at}, it is faster at any length of prompt up to {LONGEST} tokens."
        return output, f"{at}, it is faster when prompts have {self.prompt} tokens or fewer."


def break_even(pair: Pair, request: Request, profile: Profile) -> BreakEven:
    """Both lengths, each with all else as in `request`."""

    def gains(asked: Request) -> bool:
        return (
            predicted("hybrid", pair, asked, profile).total_s < predicted("llm", pair, asked, profile).total_s
        )

    output = _first(lambda tokens: gains(replace(request, output=tokens)))
    loses = _first(lambda tokens: not gains(replace(request, prompt=tokens)))
    prompt = LONGEST if loses is None else loses - 1 or None
    return BreakEven(request, output, prompt)


def _first(holds: Callable[[int], bool]) -> int | None:
    """The least number of tokens from which on `holds`, which turns true once; None when it never does."""
    if not holds(LONGEST):
        return None
    low, high = 0, LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
