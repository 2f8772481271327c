"""A link carries the prompt while it is safe, and says when it does not."""

from urllib.parse import parse_qs, urlsplit

from pages.live_parts.link import SAFE, address, left_out, prompt_of

BASE = "http://127.0.0.1:8501/live"


def test_an_address_comes_back_as_it_was():
    text = "Öffnen & <b>schließen</b>?\n=1+1 #x"
    link = address(BASE, {"systems": ["LLM alone", "Hybrid, torch"], "prompt": "an old one"}, text)
    parameters = parse_qs(urlsplit(link).query)
    assert parameters == {"systems": ["LLM alone", "Hybrid, torch"], "prompt": [text]}
    assert address(BASE, {}) == BASE


def test_half_a_surrogate_pair_does_no_harm():
    assert address(BASE, {}, "\ud800").endswith("?prompt=%3F")


def test_what_would_make_the_address_too_long_is_left_out_and_said():
    room = SAFE - len(f"{BASE}?prompt=")
    assert left_out(BASE, {}, "a" * room) is None
    sentence = left_out(BASE, {}, "a" * (room + 1))
    assert sentence is not None
    assert "2,001 characters, and 2,000 are safe" in sentence
    assert left_out(BASE, {}, "ü" * (room // 4)) is not None  # six characters each in an address


def test_a_prompt_in_a_link_is_taken_when_a_link_of_ours_could_carry_it():
    assert prompt_of("abc") == ("abc", None)
    text, sentence = prompt_of("a" * 100_000)
    assert text == ""
    assert sentence is not None
    assert "100,000 characters and was left out" in sentence
