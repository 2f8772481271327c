"""The Live page without a browser, on a tiny random pair: flow, sentences, refusals."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.live.model_cache import EngineRequest
from hybrid.measuring.lock import measuring
from hybrid.schema import CPU, SYSTEMS, System
from pages.live_parts.examples import EXAMPLES
from tests.pages.live_page import (
    SUMMARIZE,
    TRANSLATE,
    answers,
    arrive,
    ask,
    line,
    notices,
    press,
    texts,
    texts_of,
)

LONG = "word " * 400


def test_the_page_explains_itself_before_the_first_run(live: AppTest):
    assert not live.exception
    assert live.title[0].value == "One prompt, side by side"
    assert [h.value for h in live.subheader] == ["LLM alone", "SLM alone", "Hybrid"]
    assert line(live) == "Press Run to let all three answer."
    assert live.text_area(key=f"prompt-{TRANSLATE}").value in EXAMPLES[TRANSLATE].values()
    assert {m.value for m in live.metric} == {"–"}
    assert not texts(live)


def test_run_shows_three_answers_with_their_figures(live: AppTest):
    page = ask(live, "The bridge is open.")
    by_system = answers(page)
    assert not page.exception
    assert list(by_system) == list(SYSTEMS)
    assert texts(page) == texts_of(by_system)
    assert line(page).startswith("Hybrid ")
    assert " against " in line(page)
    assert [m.label for m in page.metric] == ["Total time", "First token", "Per token", "Tokens"] * 3
    assert [m.value for m in page.metric if m.label == "Tokens"] == [
        str(len(by_system[s].token_ids)) for s in SYSTEMS
    ]
    assert {m.delta for m in page.metric[:4]} == {"baseline", ""}
    assert any("1 thread, engine onnx in int8" in text.value for text in page.text)


def test_answers_are_measured_alone_and_in_order(live: AppTest, monkeypatch: pytest.MonkeyPatch):
    from hybrid.engines.onnx.engine import OnnxEngine
    from pages.live_parts import models

    seen, generate = [], OnnxEngine.generate

    def watched(self, *arguments):
        seen.append((self.method, models.fair_lock().taken))
        return generate(self, *arguments)

    monkeypatch.setattr(OnnxEngine, "generate", watched)
    ask(live, "The bridge is open.")
    assert seen == [(s, True) for s in (*SYSTEMS, *SYSTEMS)]  # a warm-up round, then the measured one
    assert not models.fair_lock().taken


def test_a_benchmark_is_named_and_the_visitor_tries_again(live: AppTest):
    with measuring("20261123-014512-x-3f9c", "file:/data/![x](http://a.b/c.png) :red[d]"):
        page = ask(live, "The bridge is open.")
        assert not page.exception
        warning = notices(page)[0]
        assert warning.startswith("Another measurement has been running on this machine since 20")
        assert "(run 20261123-014512-x-3f9c of file:/data/![x](http://a.b/c.png) :red[d])" in warning
        assert not any("http" in element.value for element in page.get("markdown"))  # its name is no markup
        assert not texts(page)
        assert notices(press(page, "Try again"))[0] == warning
    page = press(page, "Try again")
    assert not any("Another" in sentence for sentence in notices(page))
    assert texts(page) == texts_of(answers(page))


def test_visitors_of_one_server_queue_and_are_not_refused(live: AppTest):
    from pages.live_parts import models

    other = arrive()
    with ThreadPoolExecutor(1) as pool:
        with models.fair_lock().held():  # somebody else's prompt is being measured
            future = pool.submit(ask, other, "The bridge is open.")
            with pytest.raises(TimeoutError):
                future.result(0.5)
        page = future.result(30)
    assert len(texts(page)) == 3


def test_a_reload_and_another_visitor_find_the_models_loaded(live: AppTest, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_, **__):
        raise AssertionError("loaded again")

    monkeypatch.setattr("hybrid.models.sources.load_bundle", refuse)
    page = ask(arrive(), "The bridge is open.")
    assert not page.exception
    assert len(texts(page)) == 3


def test_a_pair_that_was_trained_anew_is_loaded_anew(live: AppTest, live_zoo: Path):
    from hybrid.models.manifest import write_manifest
    from pages.live_parts import models

    def engines() -> object:
        request = EngineRequest("tiny", models.pairs()["tiny"], CPU, (System("slm"),))
        return models.load(request, print).systems["slm"].engine

    before = engines()
    assert engines() is before
    write_manifest(live_zoo / "tiny", models.pairs()["tiny"] | {"about": {"note": "trained anew"}})
    assert engines() is not before


def test_loading_says_how_far_it_is(live: AppTest, monkeypatch: pytest.MonkeyPatch):
    from pages.live_parts import models

    monkeypatch.setattr("pages.common.work.POLL_S", 0.0)
    st.cache_resource.clear()
    sentences: list[str] = []
    request = EngineRequest("tiny", models.pairs()["tiny"], CPU, (System("slm"),))
    models.load(request, sentences.append)
    assert sentences
    assert all(sentence.endswith(" …") for sentence in sentences)


def test_a_new_run_measures_anew_and_a_replay_does_not(live: AppTest):
    page = ask(live, "The bridge is open.")
    first = answers(page)
    page = press(page, "Again")
    assert answers(page) is first
    page.segmented_control(key="slowdown").set_value(10).run()
    assert answers(page) is first
    assert texts(page) == texts_of(first)
    assert answers(press(page, "Run")) is not first


def test_the_limit_of_new_tokens_holds_and_is_said(live: AppTest):
    live.number_input(key="limit").set_value(2)
    page = ask(live, "The bridge is open.")
    by_system = answers(page)
    assert all(len(by_system[s].token_ids) <= 2 for s in SYSTEMS)
    assert any("limit of new tokens" in text.value for text in page.text)


def test_prompts_and_answers_are_never_markdown(live: AppTest, monkeypatch: pytest.MonkeyPatch):
    from transformers import PreTrainedTokenizerFast

    hostile = "<img src=x onerror=alert(1)> **bold** $x^2$ :red[red]"
    monkeypatch.setattr(PreTrainedTokenizerFast, "decode", lambda *_, **__: hostile)
    page = ask(live, hostile)
    assert texts(page) == [hostile] * 3
    for kind in ("markdown", "caption", "header", "subheader", "title", "html", "warning", "error"):
        assert not any("onerror" in element.value for element in page.get(kind)), kind


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("  \n ", "The prompt is empty"), ("ring\x07 the bell", "control character (U+0007)")],
)
def test_a_prompt_that_cannot_be_answered_gets_one_sentence(live: AppTest, text: str, sentence: str):
    page = ask(live, text)
    assert not page.exception
    assert sentence in notices(page)[0]
    assert page.text_area(key=f"prompt-{TRANSLATE}").value == text
    assert len(texts(ask(page, "The bridge is open."))) == 3


def test_another_script_is_answered_with_a_warning(live: AppTest):
    page = ask(live, "Мост открыт.")
    assert "not in Latin script" in notices(page)[0]
    assert len(texts(page)) == 3


def test_a_prompt_that_is_too_long_is_cut_only_when_asked(live: AppTest):
    page = ask(live, LONG)
    assert "tokens and the model reads at most 160" in notices(page)[0]
    assert not texts(page)
    page = press(page, "Answer only its first 160 tokens")
    assert "cut to its first 160 of " in notices(page)[0]
    assert [answer.prompt_tokens for answer in answers(page).values()] == [160] * 3
    assert page.text_area(key=f"prompt-{TRANSLATE}").value == LONG
    assert "reads at most" in notices(press(page, "Run"))[0]  # asked once is not asked for ever


def test_examples_fill_the_prompt_and_clear_the_answers(live: AppTest):
    page = ask(live, "The bridge is open.")
    page = press(page, "Chat")
    assert page.text_area(key=f"prompt-{TRANSLATE}").value == EXAMPLES[TRANSLATE]["Chat"]
    assert line(page) == "Press Run to let all three answer."
    assert not texts(page)


def test_each_task_keeps_its_prompt_and_answers(live: AppTest):
    page = ask(live, "My own sentence.")
    page.segmented_control(key="task").set_value(SUMMARIZE).run()
    assert page.text_area(key=f"prompt-{SUMMARIZE}").value == next(iter(EXAMPLES[SUMMARIZE].values()))
    assert not texts(page)
    page = ask(page, "A paragraph.", SUMMARIZE)
    assert len(texts(page)) == 3
    page.segmented_control(key="task").set_value(TRANSLATE).run()
    assert page.text_area(key=f"prompt-{TRANSLATE}").value == "My own sentence."
    assert texts(page) == texts_of(answers(page))


def test_examples_suit_the_tasks():
    assert set(EXAMPLES) == {TRANSLATE, SUMMARIZE}
    assert all(4 <= len(examples) <= 5 for examples in EXAMPLES.values())
    assert all(80 <= len(text.split()) <= 150 for text in EXAMPLES[SUMMARIZE].values())


def test_another_pair_answers_anew(live: AppTest, live_zoo: Path):
    assert live.selectbox(key="live_pair").options == ["tiny"]
    shutil.copytree(live_zoo / "tiny", live_zoo / "wide")
    page = ask(arrive(), "The bridge is open.")
    before = answers(page)
    assert any("Pair tiny" in text.value for text in page.text)
    page.selectbox(key="live_pair").set_value("wide").run()
    assert any("Pair wide" in text.value for text in page.text)
    assert answers(page) is not before


def test_a_damaged_file_is_named_and_mended_without_a_restart(
    live_zoo: Path, live: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    weights = live_zoo / "tiny" / "slm" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))  # what was built of the whole one would do
    st.cache_resource.clear()
    page = arrive()
    assert not page.exception
    assert "slm/model.safetensors is damaged" in notices(page)[0]
    weights.write_bytes(whole)
    assert line(page.run()) == "Press Run to let all three answer."


def test_an_empty_zoo_is_said(live_zoo: Path, live: AppTest):
    shutil.rmtree(live_zoo / "tiny")
    page = arrive()
    assert not page.exception
    assert notices(page)[0].startswith("There are no pairs in ")
