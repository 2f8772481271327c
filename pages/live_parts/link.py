"""What a page's address may carry of a prompt, and how much of it."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

SAFE = 2000  # characters of an address that every browser, chat and mail program passes on whole
PROMPT = "prompt"


def address(base: str, parameters: Mapping[str, str | Sequence[str]], prompt: str = "") -> str:
    """Give the link: `base` with the parameters, and with the prompt when there is one."""
    carried = {name: value for name, value in parameters.items() if name != PROMPT}
    query = urlencode(carried | ({PROMPT: prompt} if prompt else {}), doseq=True, errors="replace")
    return f"{base}?{query}" if query else base


def left_out(base: str, parameters: Mapping[str, str | Sequence[str]], prompt: str) -> str | None:
    """Why a link does not carry the prompt, in a sentence; None when it does."""
    length = len(address(base, parameters, prompt))
    if length <= SAFE:
        return None
    return (
        f"A link to this page carries all but the prompt: with it, the address would have {length:,} "
        f"characters, and {SAFE:,} are safe."
    )


def prompt_of(value: str) -> tuple[str, str | None]:
    """Give the prompt in an address, as it may be filled in, and a sentence when it may not."""
    if len(value) <= SAFE:
        return value, None
    return "", (
        f"The prompt in this link has {len(value):,} characters and was left out: "
        f"a link carries {SAFE:,} at the most. Paste it below instead."
    )
