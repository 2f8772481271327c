"""The Live page without a browser, on a tiny random pair: flow, sentences, refusals."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from hybrid.lock import measuring
from hybrid.schema import SYSTEMS, Generation
from pages._prompts import EXAMPLES

APP = Path(__file__).parents[2] / "app.py"
TRANSLATE, SUMMARIZE = "translate-en-de", "summarize"
LONG = "word " * 400


@pytest.fixture
def zoo(tiny_zoo: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle's folder that a test may damage."""
    return Path(shutil.copytree(tiny_zoo, tmp_path / "zoo"))


@pytest.fixture
def visit(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """A new visitor, of a server that has loaded nothing; answers are short and replayed fast."""
    monkeypatch.setenv("HYBRID_ZOO", str(zoo))
    monkeypatch.setenv("HYBRID_CACHE", str(zoo.parent / "cache"))  # or no weights are read
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # not where a real measurement holds the lock
    monkeypatch.setattr("pages._state.PAINT_S", 0.0)
    monkeypatch.setattr("hybrid.live.LEAD_S", 0.0)
    st.cache_resource.clear()
    yield arrive()
    st.cache_resource.clear()


def arrive() -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60).run()
    page.number_input(key="limit").set_value(6)
    return page


def ask(page: AppTest, text: str, task: str = TRANSLATE) -> AppTest:
    page.text_area(key=f"prompt-{task}").set_value(text)
    return press(page, "Run")


def press(page: AppTest, label: str) -> AppTest:
    (button,) = [b for b in page.button if b.label == label]
    return button.click().run()


def answers(page: AppTest, task: str = TRANSLATE) -> dict[str, Generation]:
    return page.session_state[f"answers-{task}"]


def texts(page: AppTest) -> list[str]:
    """The answers as shown; st.text trims their ends."""
    return [text.value for text in page.text]


def texts_of(made: dict[str, Generation]) -> list[str]:
    return [made[system].text.strip() for system in SYSTEMS]


def line(page: AppTest) -> str:
    """The one line above the cards."""
    (header,) = page.header
    return header.value


def test_the_page_explains_itself_before_the_first_run(visit: AppTest):
    assert not visit.exception
    assert visit.title[0].value == "One prompt, three systems"
    assert [h.value for h in visit.subheader] == ["LLM alone", "SLM alone", "Hybrid"]
    assert line(visit) == "Press Run to let all three answer."
    assert visit.text_area(key=f"prompt-{TRANSLATE}").value in EXAMPLES[TRANSLATE].values()
    assert {m.value for m in visit.metric} == {"–"}
    assert not visit.text


def test_run_shows_three_answers_with_their_figures(visit: AppTest):
    page = ask(visit, "The bridge is open.")
    made = answers(page)
    assert not page.exception
    assert list(made) == list(SYSTEMS)
    assert texts(page) == texts_of(made)
    assert line(page).startswith("Hybrid ")
    assert " against " in line(page)
    assert [m.label for m in page.metric] == ["Total time", "First token", "Per token", "Tokens"] * 3
    assert [m.value for m in page.metric if m.label == "Tokens"] == [
        str(len(made[s].token_ids)) for s in SYSTEMS
    ]
    assert {m.delta for m in page.metric[:4]} == {"baseline", ""}
    assert "1 thread, engine onnx in int8" in page.caption[-1].value


def test_answers_are_measured_alone_and_in_order(visit: AppTest, monkeypatch: pytest.MonkeyPatch):
    from hybrid.engines.onnx_engine import OnnxEngine
    from pages import _state

    seen, generate = [], OnnxEngine.generate

    def watched(self, *arguments):
        seen.append((self.system, _state.inference_lock().locked()))
        return generate(self, *arguments)

    monkeypatch.setattr(OnnxEngine, "generate", watched)
    ask(visit, "The bridge is open.")
    assert seen == [(s, True) for s in (*SYSTEMS, *SYSTEMS)]  # a warm-up round, then the measured one
    assert not _state.inference_lock().locked()


def test_a_benchmark_is_named_and_the_visitor_tries_again(visit: AppTest):
    with measuring("20261123-014512-x-3f9c", "file:/data/![x](http://a.b/c.png) :red[d]"):
        page = ask(visit, "The bridge is open.")
        assert not page.exception
        (warning,) = page.warning
        assert warning.value.startswith("Another measurement has been running on this machine since 20")
        assert r"run 20261123\-014512\-x\-3f9c of file" in warning.value
        assert r"\!\[x\]\(http" in warning.value  # its name is no markup
        assert not page.text
        assert press(page, "Try again").warning
    page = press(page, "Try again")
    assert not page.warning
    assert texts(page) == texts_of(answers(page))


def test_visitors_of_one_server_queue_and_are_not_refused(visit: AppTest):
    from pages import _state

    other = arrive()
    with ThreadPoolExecutor(1) as pool:
        with _state.inference_lock():  # somebody else's prompt is being measured
            asked = pool.submit(ask, other, "The bridge is open.")
            with pytest.raises(TimeoutError):
                asked.result(0.5)
        page = asked.result(30)
    assert not page.warning
    assert len(page.text) == 3


def test_a_reload_and_another_visitor_find_the_models_loaded(visit: AppTest, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_, **__):
        raise AssertionError("loaded again")

    monkeypatch.setattr("hybrid.model.bundle.load_bundle", refuse)
    page = ask(arrive(), "The bridge is open.")
    assert not page.exception
    assert len(page.text) == 3


def test_a_pair_that_was_trained_anew_is_loaded_anew(visit: AppTest, zoo: Path):
    from hybrid.model.manifest import write_manifest
    from pages import _state

    before = _state.bench("tiny", print)
    assert _state.bench("tiny", print) is before
    manifest = _state.pairs(print)["tiny"]
    write_manifest(zoo / "tiny", manifest | {"about": {"note": "trained anew"}})
    assert _state.bench("tiny", print) is not before


def test_loading_says_how_far_it_is(visit: AppTest, monkeypatch: pytest.MonkeyPatch):
    from pages import _state

    monkeypatch.setattr(_state, "POLL_S", 0.0)
    st.cache_resource.clear()
    said: list[str] = []
    _state.bench("tiny", said.append)
    assert said
    assert all(sentence.endswith(" …") for sentence in said)


def test_a_new_run_measures_anew_and_a_replay_does_not(visit: AppTest):
    page = ask(visit, "The bridge is open.")
    first = answers(page)
    page = press(page, "Again")
    assert answers(page) is first
    page.segmented_control(key="slowdown").set_value(10).run()
    assert answers(page) is first
    assert texts(page) == texts_of(first)
    assert answers(press(page, "Run")) is not first


def test_the_limit_of_new_tokens_holds_and_is_said(visit: AppTest):
    visit.number_input(key="limit").set_value(2)
    page = ask(visit, "The bridge is open.")
    made = answers(page)
    assert all(len(made[s].token_ids) <= 2 for s in SYSTEMS)
    assert any("limit of new tokens" in c.value for c in page.caption)


def test_prompts_and_answers_are_never_markdown(visit: AppTest, monkeypatch: pytest.MonkeyPatch):
    from transformers import PreTrainedTokenizerFast

    hostile = "<img src=x onerror=alert(1)> **bold** $x^2$ :red[red]"
    monkeypatch.setattr(PreTrainedTokenizerFast, "decode", lambda *_, **__: hostile)
    page = ask(visit, hostile)
    assert texts(page) == [hostile] * 3
    for kind in ("markdown", "caption", "header", "subheader", "title", "html", "warning", "error"):
        assert not any("onerror" in element.value for element in page.get(kind)), kind


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("  \n ", "The prompt is empty"), ("ring\x07 the bell", "control character (U+0007)")],
)
def test_a_prompt_that_cannot_be_answered_gets_one_sentence(visit: AppTest, text: str, sentence: str):
    page = ask(visit, text)
    assert not page.exception
    assert [sentence in e.value for e in page.error] == [True]
    assert page.text_area(key=f"prompt-{TRANSLATE}").value == text
    assert len(ask(page, "The bridge is open.").text) == 3


def test_another_script_is_answered_with_a_warning(visit: AppTest):
    page = ask(visit, "Мост открыт.")
    assert "not in Latin script" in page.warning[0].value
    assert len(page.text) == 3


def test_a_prompt_that_is_too_long_is_cut_only_when_asked(visit: AppTest):
    page = ask(visit, LONG)
    assert "tokens and the model reads at most 160" in page.warning[0].value
    assert not page.text
    page = press(page, "Answer only its first 160 tokens")
    assert "cut to its first 160 of " in page.warning[0].value
    assert [made.prompt_tokens for made in answers(page).values()] == [160] * 3
    assert page.text_area(key=f"prompt-{TRANSLATE}").value == LONG
    assert "reads at most" in press(page, "Run").warning[0].value  # asked once is not asked for ever


def test_examples_fill_the_prompt_and_clear_the_answers(visit: AppTest):
    page = ask(visit, "The bridge is open.")
    page = press(page, "Chat")
    assert page.text_area(key=f"prompt-{TRANSLATE}").value == EXAMPLES[TRANSLATE]["Chat"]
    assert line(page) == "Press Run to let all three answer."
    assert not page.text


def test_each_task_keeps_its_prompt_and_answers(visit: AppTest):
    page = ask(visit, "My own sentence.")
    page.segmented_control(key="task").set_value(SUMMARIZE).run()
    assert page.text_area(key=f"prompt-{SUMMARIZE}").value == next(iter(EXAMPLES[SUMMARIZE].values()))
    assert not page.text
    page = ask(page, "A paragraph.", SUMMARIZE)
    assert len(page.text) == 3
    page.segmented_control(key="task").set_value(TRANSLATE).run()
    assert page.text_area(key=f"prompt-{TRANSLATE}").value == "My own sentence."
    assert texts(page) == texts_of(answers(page))


def test_examples_suit_the_tasks():
    assert set(EXAMPLES) == {TRANSLATE, SUMMARIZE}
    assert all(4 <= len(examples) <= 5 for examples in EXAMPLES.values())
    assert all(80 <= len(text.split()) <= 150 for text in EXAMPLES[SUMMARIZE].values())


def test_a_pair_is_chosen_only_when_there_are_several(visit: AppTest, zoo: Path):
    assert not visit.selectbox
    shutil.copytree(zoo / "tiny", zoo / "wide")
    page = ask(arrive(), "The bridge is open.")
    before = answers(page)
    assert "Pair tiny" in page.caption[-1].value
    page.selectbox(key="pair").set_value("wide").run()
    assert "Pair wide" in page.caption[-1].value
    assert answers(page) is not before


def test_a_damaged_file_is_named_and_mended_without_a_restart(zoo: Path, visit: AppTest):
    weights = zoo / "tiny" / "slm" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    shutil.rmtree(zoo.parent / "cache")  # what was built of the whole one would do
    st.cache_resource.clear()
    page = arrive()
    assert not page.exception
    assert len(page.error) == 1
    assert "slm/model.safetensors is damaged" in page.error[0].value
    weights.write_bytes(whole)
    assert line(page.run()) == "Press Run to let all three answer."


def test_an_empty_zoo_is_said(zoo: Path, visit: AppTest):
    shutil.rmtree(zoo / "tiny")
    page = arrive()
    assert not page.exception
    assert page.error[0].value.startswith("There are no pairs in ")
