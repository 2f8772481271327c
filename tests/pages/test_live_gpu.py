"""The Live page on a GPU, without a browser: `pytest -m gpu tests/pages`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.schema import SYSTEMS
from tests.pages.live_page import answers, arrive, ask, line, texts, texts_of

# Warnings of libraries are theirs; as errors they would make the engine fall back.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
CHOSEN = ("llm@torch", "hybrid@torch", "hybrid@cuda-graph", "lossless@torch")


@pytest.fixture(autouse=True)
def fresh(live_zoo: Path) -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def captions(page: AppTest) -> str:
    return "\n".join(text.value for text in page.text)


def test_all_three_answer_in_recorded_graphs():
    page = ask(arrive(live_device="cuda"), "The bridge is open.")
    generations = answers(page)
    assert not page.exception
    assert list(generations) == list(SYSTEMS)
    assert texts(page) == texts_of(generations)
    assert " against " in line(page)
    sys.stdout.write(f"{line(page)}\n{captions(page)}\n")
    assert "machine's GPU, engine cuda-graph in bfloat16" in captions(page)


def test_engines_are_compared():
    page = ask(arrive(live_device="cuda", systems=[s.label for s in CHOSEN]), "The bridge is open.")
    generations = answers(page)
    assert not page.exception
    assert set(generations) == set(CHOSEN)
    assert texts(page) == texts_of(generations)


def test_cpu_and_gpu_one_after_the_other():
    first = ask(arrive(live_device="cpu"), "The bridge is open.")
    second = ask(arrive(live_device="cuda"), "The bridge is open.")
    assert len(texts(first)) == len(texts(second)) == 3
    assert "machine's CPU with 1 thread" in captions(first)
    assert "machine's GPU" in captions(second)
