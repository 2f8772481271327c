"""What a label shows as it is: no markup in it works, no address in it becomes a link."""

import re

import pytest

from pages.common.notes import plain

# Of mdast-util-gfm-autolink-literal, which makes links of what it finds in finished text.
AUTOLINKS = re.compile(r"https?://[-.\w]+|www\.[-.\w]+|[-.\w+]+@[-\w]+(?:\.[-\w]+)+", re.IGNORECASE)


@pytest.mark.parametrize("text", ["http://a.example", "HTTPS://a.b", "www.a.b", "WWW.a.b", "me@a.example"])
def test_no_address_becomes_a_link(text: str):
    assert AUTOLINKS.search(text)
    shown = re.sub(r"\\(.)", r"\1", plain(f"x {text} y"))  # as Markdown takes the escapes off
    assert not AUTOLINKS.search(shown)
    assert shown.replace("\u2060", "") == f"x {text} y"
