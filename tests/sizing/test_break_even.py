"""Lengths at which a hybrid begins and ceases to be faster: what looking at every length finds, too."""

from dataclasses import replace

import pytest

from hybrid.sizing import LONGEST, Pair, Request, break_even, predicted


def gains(pair: Pair, request: Request, profile) -> bool:
    hybrid, llm = (predicted(method, pair, request, profile).total_s for method in ("hybrid", "llm"))
    return hybrid < llm


def costly_reading(made_up):
    """A device on which reading takes so long that short answers do not make up for it."""
    profile = made_up()
    dear = [replace(c, seconds=c.seconds | {"weights": 20 * c.seconds["weights"]}) for c in profile.encode]
    return replace(profile, encode=tuple(dear))


@pytest.mark.parametrize("prompt", [32, 200])
def test_output_from_which_on(pair: Pair, made_up, prompt: int) -> None:
    profile, request = costly_reading(made_up), Request(prompt, 8)
    even = break_even(pair, request, profile).output
    by_looking = next(t for t in range(1, LONGEST) if gains(pair, replace(request, output=t), profile))
    assert even == by_looking > 1


def test_prompt_up_to_which(pair: Pair, made_up) -> None:
    profile, request = costly_reading(made_up), Request(32, 30)
    even = break_even(pair, request, profile)
    by_looking = (
        next(s for s in range(1, LONGEST) if not gains(pair, replace(request, prompt=s), profile)) - 1
    )
    assert even.prompt == by_looking
    assert 1 < by_looking < LONGEST
    assert even.sentences[1] == (
        f"With answers of 30 tokens, it is faster when prompts have {by_looking} tokens or fewer."
    )


def test_always_and_never(pair: Pair, made_up) -> None:
    always = break_even(pair, Request(32, 64), made_up())
    assert (always.output, always.prompt) == (1, LONGEST)
    assert always.sentences == (
        "With prompts of 32 tokens, the hybrid is faster than the LLM from the first token on.",
        (
            "With answers of 64 tokens, it is faster at any length of prompt up to 8,192 tokens "
            "(≈, extrapolated beyond 512)."
        ),
    )
    never = break_even(Pair(pair.slm, pair.llm), Request(32, 1), made_up())
    assert (never.output, never.prompt) == (None, None)
    assert never.sentences == (
        (
            "With prompts of 32 tokens, the hybrid is slower than the LLM at any length of answer up to "
            "8,192 tokens (≈, extrapolated beyond 992)."
        ),
        "With answers of 1 token, it is slower at any length of prompt.",
    )


def test_words_for_a_length_between(pair: Pair, made_up) -> None:
    even = break_even(pair, Request(32, 8), costly_reading(made_up))
    assert even.sentences[0] == (
        "With prompts of 32 tokens, the hybrid is faster than the LLM when answers have "
        f"{even.output} tokens or more."
    )
