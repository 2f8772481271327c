"""Numbers and names as figures and pages show them."""

import html
import unicodedata

LONGEST_NAME = 60  # characters of a name from elsewhere that are shown


def milliseconds(seconds: float | None) -> str:
    """A duration as people read it: `1,240 ms`, `41 ms`, `5.2 ms`, `0.31 ms`, a dash for None."""
    if seconds is None:
        return "–"
    value = seconds * 1000
    digits = 0 if value >= 9.95 else 1 if value >= 0.995 else 2
    return f"{value:,.{digits}f} ms"


def times(ratio: float) -> str:
    """`12×`, `3.0×`, `1.45×`, `0.017×`: two decimals below 2, three below 0.1."""
    return f"{ratio:.{0 if ratio >= 9.95 else 1 if ratio >= 1.995 else 2 if ratio >= 0.0995 else 3}f}×"


def plain_times(ratio: float) -> str:
    """A speed-up as a headline: `3.0× faster`, `1.41× slower`, `As fast`."""
    factor = max(ratio, 1 / ratio)
    if factor < 1.05:
        return "As fast"
    return f"{times(factor)} {'faster' if ratio > 1 else 'slower'}"


def shown(name: str, longest: int = LONGEST_NAME) -> str:
    """A name from elsewhere on one line: what does not print, or turns the text around, is spelled out.

    Plain text still: a figure needs label() of it, Markdown an escape.
    """
    spelled = "".join(c if _prints(c) else c.encode("unicode_escape").decode("ascii") for c in name)
    return spelled if len(spelled) <= longest else spelled[: longest - 1] + "…"


def label(name: str, longest: int = LONGEST_NAME) -> str:
    """shown(), for Plotly, which reads tags such as <a> and <b> in every text that it draws."""
    return html.escape(shown(name, longest), quote=False)


def _prints(character: str) -> bool:
    """Marks that only turn the writing direction around count as not printing (Unicode's category Cf)."""
    return character == " " or (character.isprintable() and unicodedata.category(character) != "Cf")
