"""What of a difference goes to the browser; how it looks there is tested on the Examples page."""

import json

from streamlit.testing.v1 import AppTest


def drawn(page: AppTest) -> list[dict[str, object]]:
    """The data that each drawn difference gives to its script."""
    assert not page.exception
    return [json.loads(element.proto.json) for element in page.main.children.values()]


def script() -> None:
    from hybrid.presentation.difference import words
    from pages.common.difference import difference

    difference(words("ein <b>Haus", "der <b>Haus"), "marked")
    difference(words("ein <b>Haus", "der <b>Haus"), "new", removed=False)
    difference(words("x", "x \udc80"), "half")


def test_parts_arrive_as_text_and_half_characters_spelled_out():
    marked, new, half = drawn(AppTest.from_function(script).run())
    assert marked == {
        "parts": [["removed", "ein"], ["added", "der"], ["same", " <b>Haus"]], "removed": True,
    }  # fmt: skip
    assert new == {**marked, "removed": False}
    assert half["parts"] == [["same", "x"], ["added", " \\udc80"]]
