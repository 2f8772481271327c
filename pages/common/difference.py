"""Texts as they are, with the words marked in which one differs from another.

What is drawn comes from models, suites and people: it only ever becomes the text of an element.
"""

from collections.abc import Iterable

import streamlit as st

from hybrid.presentation.difference import Part

# marked(parts, removed): an element with the text. ins and del tell screen readers, too.
MARKED_JS = """
const TAGS = { same: "bdi", added: "ins", removed: "del" };
function marked(parts, removed = true) {
  const text = document.createElement("div");
  text.className = "text";
  text.dir = "auto";
  for (const [kind, words] of parts) {
    if (kind === "removed" && !removed) continue;
    const piece = document.createElement(Object.hasOwn(TAGS, kind) ? TAGS[kind] : "bdi");
    piece.textContent = words;
    text.append(piece);
  }
  return text;
}
"""
MARKED_CSS = """
.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; max-width: 100%; }
bdi { unicode-bidi: normal; }
ins, del { unicode-bidi: isolate; color: inherit; border-radius: 0.2rem; padding: 0 0.08rem; }
ins { text-decoration: underline 0.12em; text-underline-offset: 0.18em;
  background: color-mix(in srgb, #009e73 24%, transparent); }
del { text-decoration: line-through 0.1em; background: color-mix(in srgb, #d55e00 24%, transparent); }
del + ins { margin-inline-start: 0.2em; }
"""
_CSS = ":host, .text { color: var(--st-text-color); font: inherit; }"
_JS = """
export default function ({ parentElement, data }) {
  parentElement.querySelector(".place").replaceChildren(marked(data.parts, data.removed));
}
"""
_text = st.components.v2.component(
    "hybrid_bench_difference", html='<div class="place"></div>', css=_CSS + MARKED_CSS, js=MARKED_JS + _JS
)


def difference(parts: Iterable[Part], key: str, removed: bool = True) -> None:
    """Draw one text in the width that there is. key: unique on the page.

    removed: also show, struck through, what only the old text has; without, it
    is the new text alone, with the words underlined that the old one has not.
    """
    _text(key=key, data={"parts": as_rows(parts), "removed": removed})


def as_rows(parts: Iterable[Part]) -> list[list[str]]:
    """Write the parts as JSON holds them; half a surrogate pair is spelled out, as \\udc80 or the like."""
    return [[part.kind, _spelled(part.text)] for part in parts]


def _spelled(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
