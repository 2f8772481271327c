"""The Live page's choices: systems, references, links, history, files of prompts; on a tiny random pair."""

import csv
import io
import threading

import pytest
from streamlit.testing.v1 import AppTest

from hybrid.errors import EngineError
from hybrid.live import measure_all, model_cache
from hybrid.live.batch import MOST
from hybrid.measuring.lock import measuring
from hybrid.schema import System
from hybrid.store.tables import Table
from pages.live_parts.examples import EXAMPLES
from pages.live_parts.link import SAFE
from pages.live_parts.settings import FILE
from tests.pages.live_page import TRANSLATE, answers, arrive, ask, line, notices, press, texts, texts_of

OPEN, SHUT = "The bridge is open.", "The door is shut."
FIRST = next(iter(EXAMPLES[TRANSLATE].values()))


def choose(page: AppTest, *systems: str) -> AppTest:
    return page.multiselect(key="systems").set_value(list(map(System.parse, systems))).run()


def prompt(page: AppTest, task: str = TRANSLATE) -> str:
    return page.text_area(key=f"prompt-{task}").value


def upload(page: AppTest, name: str, data: bytes) -> AppTest:
    page.segmented_control(key="ask").set_value(FILE).run()
    page.number_input(key="limit").set_value(4)
    return page.file_uploader(key="file").set_value((name, data, "text/plain")).run()


def test_any_systems_answer_each_in_its_engine(live: AppTest):
    page = ask(choose(live, "hybrid@torch", "lossless", "slm"), OPEN)
    assert not page.exception
    assert list(answers(page)) == ["hybrid@torch", "lossless", "slm"]
    assert texts(page) == texts_of(answers(page))
    assert [h.value for h in page.subheader] == ["Hybrid, torch", "Lossless (hybrid drafts)", "SLM alone"]
    roles = [c.value for c in page.caption if " · " in c.value]
    assert [role.partition(" · ")[2] for role in roles] == ["torch, float32"] + ["onnx-fp32, float32"] * 2
    assert {m.delta for m in page.metric[:4]} == {
        "baseline",
        "",
    }  # no LLM: the first is what others are compared with
    assert any("times compare these" in text.value for text in page.text)


def test_one_system_alone_is_compared_with_nothing(live: AppTest):
    page = ask(choose(live, "slm"), OPEN)
    assert line(page).startswith("SLM answered in ")
    assert {m.delta for m in page.metric} == {""}
    assert page.toggle(key="differences").disabled


def test_no_system_is_a_sentence(live: AppTest):
    page = choose(live)
    assert not page.exception
    assert notices(page)[0] == "No system is chosen; choose at least one."


def test_what_cannot_run_is_a_sentence_and_the_rest_answers(live: AppTest, monkeypatch: pytest.MonkeyPatch):
    make = model_cache.create_engines

    def refuse(name, order):
        if name == "torch":
            raise EngineError("The engine torch needs a **new** <b>CPU</b>.")
        return make(name, order)

    monkeypatch.setattr(model_cache, "create_engines", refuse)
    page = ask(choose(live, "llm", "slm@torch"), OPEN)
    assert not page.exception
    assert notices(page)[0] == "The engine torch needs a **new** <b>CPU</b>."
    assert list(answers(choose(page, "llm", "slm"))) == ["llm", "slm"]


def test_another_system_is_measured_together_with_all(live: AppTest):
    page = ask(choose(live, "llm", "slm"), OPEN)
    before = answers(page)
    page = choose(page, "llm", "slm", "hybrid")
    assert list(answers(page)) == ["llm", "slm", "hybrid"]
    assert answers(page)["llm"].timing != before["llm"].timing


def test_answers_are_judged_against_a_reference(live: AppTest):
    live.text_area(key=f"reference-{TRANSLATE}").set_value("Die Brücke ist offen.")
    page = ask(live, OPEN)
    judged = [c.value for c in page.caption if c.value.startswith("Against the reference: chrF ")]
    assert len(judged) == 3
    assert all(", BLEU " in sentence for sentence in judged)
    page = page.toggle(key="differences").set_value(True).run()
    assert page.segmented_control(key="against").options == ["to the LLM", "to the reference"]
    assert any(c.value.startswith("Underlined: not in the reference.") for c in page.caption)
    page = page.segmented_control(key="against").set_value("to the LLM").run()
    assert any("not in the LLM's answer" in c.value for c in page.caption)
    assert not page.exception
    assert (
        texts(page) == texts_of(answers(page))[:1]
    )  # the LLM's; the others are marked, which st.text cannot


def test_a_link_fills_in_and_waits(live: AppTest):
    page = arrive(
        prompt="<b>Öffnen</b> & **schließen**",
        limit="5",
        systems=["SLM alone", "Hybrid, torch"],
        task="Summarize",
    )
    assert not page.exception
    assert prompt(page, "summarize") == "<b>Öffnen</b> & **schließen**"
    assert page.number_input(key="limit").value == 5
    assert page.multiselect(key="systems").value == ["slm", "hybrid@torch"]
    assert line(page) == "Press Run to let both answer."
    assert not texts(page)
    assert prompt(page.run(), "summarize") == "<b>Öffnen</b> & **schließen**"


def test_what_was_asked_is_in_the_address_until_it_is_too_long(live: AppTest):
    page = ask(live, OPEN)
    assert page.query_params["prompt"] in (OPEN, [OPEN])
    assert any("prompt=The+bridge+is+open." in code.value for code in page.code)
    page = ask(page, "a " * SAFE)
    assert "prompt" not in page.query_params
    assert any("carries all but the prompt" in c.value for c in page.caption)
    page = press(page, "Chat")
    assert page.query_params["prompt"] in (EXAMPLES[TRANSLATE]["Chat"], [EXAMPLES[TRANSLATE]["Chat"]])


def test_a_hostile_link_is_harmless(live: AppTest):
    script = "<script>alert(1)</script>"
    page = arrive(
        prompt="x" * 100_000,
        limit="1e9",
        systems=["nope", "**b**"],
        live_pair=script,
        task="\u202e\x07",
        slowdown="zz",
    )
    assert not page.exception
    sentences = " ".join(notices(page))
    for choice in (script, "nope, **b**", r"\u202e\x07", "a replay speed unknown here: zz", "a limit of 1e9"):
        assert choice in sentences
    assert "has 100,000 characters and was left out" in sentences
    assert prompt(page) == FIRST
    assert line(page) == "Press Run to let all three answer."
    for kind in ("markdown", "caption", "header", "html", "warning", "error"):
        assert not any("<script" in element.value for element in page.get(kind)), kind


def test_control_characters_of_a_link_are_refused_when_asked(live: AppTest):
    page = arrive(prompt="ring\x07 the bell")
    assert prompt(page) == "ring\x07 the bell"
    assert "control character (U+0007)" in notices(press(page, "Run"))[0]


def test_a_visit_is_remembered_and_asked_again(live: AppTest):
    page = ask(ask(live, OPEN), SHUT)
    newest, oldest = page.session_state["history"]
    assert [newest.request.text, oldest.request.text] == [SHUT, OPEN]
    assert {system: summary.text for system, summary in newest.summaries.items()} == {
        system: generation.text for system, generation in answers(page).items()
    }
    page.selectbox(key="again").set_value(1).run()
    page = press(page, "Ask again")
    assert prompt(page) == OPEN
    assert line(page) == "Press Run to let all three answer."
    assert len(page.session_state["history"]) == 2  # it is filled in, and not run
    assert "history" not in arrive().session_state  # nobody else's


def test_two_visitors_never_see_each_others_answers(live: AppTest):
    other = ask(arrive(), "x " * 60)
    page = ask(live, OPEN)
    for visitor, text in ((page, OPEN), (other.run(), "x " * 60)):
        assert [entry.request.text for entry in visitor.session_state["history"]] == [text]
        assert texts(visitor) == texts_of(answers(visitor))
    mine, theirs = (
        {generation.prompt_tokens for generation in answers(visitor).values()} for visitor in (page, other)
    )
    assert mine != theirs


def test_a_file_of_prompts_is_measured_whole(live: AppTest):
    rows = ((OPEN, "Die Bru\u0308cke."), (SHUT, ""), ("word " * 400, ""), ("=1+1 <b>x</b>", ""))
    data = "".join("\t".join(row) + "\n" for row in rows)  # as most have it: two columns without names
    page = upload(live, "a.tsv", data.encode())
    assert not page.exception
    assert any(c.value.startswith("1 of 4 examples hold texts that are normalized") for c in page.caption)
    page = press(page, "Run 4 prompts")
    assert not page.exception
    batch = page.session_state["batch-of-prompts"]
    assert batch.state == "done"
    assert [bool(row.summaries) for row in batch.rows] == [True, True, False, True]
    assert "reads at most 160" in batch.rows[2].problem
    assert line(page).startswith("Medians over n = 3: Hybrid ")
    medians, rows = page.dataframe[0].value, page.dataframe[1].value
    assert list(medians["n"]) == [3, 3, 3]
    assert list(rows["source"])[:2] == [OPEN, SHUT]
    assert len(page.session_state["history"]) == 3
    assert any("not a benchmark" in c.value for c in page.caption)


def test_a_batch_stops_beside_a_benchmark_and_goes_on(live: AppTest):
    page = upload(live, "a.txt", f"{OPEN}\n{SHUT}\n".encode())
    with measuring("a-1", "everyday-en-de"):
        page = press(page, "Run 2 prompts")
        assert "(run a-1 of everyday-en-de)" in notices(page)[0]
    assert line(page) == "No prompt was answered."
    page = press(page, "Go on with the other 2")
    assert page.session_state["batch-of-prompts"].state == "done"
    assert line(page).startswith("Medians over n = 2: ")


def test_a_batch_lets_others_in_between_two_prompts(live: AppTest, monkeypatch: pytest.MonkeyPatch):
    from pages.live_parts import models

    order: list[str] = []
    started, waits = threading.Event(), threading.Event()

    def watched(engines, request):
        order.append("batch")
        started.set()
        assert waits.wait(60)
        return measure_all(engines, request)

    def other() -> None:
        started.wait(60)
        with models.fair_lock().held(lambda _: waits.set()):
            order.append("other")

    monkeypatch.setattr("pages.live_parts.batch.measure_all", watched)
    page = upload(live, "a.txt", "\n".join([OPEN] * 6).encode())
    visitor = threading.Thread(target=other)
    visitor.start()
    press(page, "Run 6 prompts")
    visitor.join(60)
    assert order == ["batch", "other"] + ["batch"] * 5


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"", "a.txt holds no prompt."),
        ("a.txt", b"b\xe4d", "is not UTF-8 text"),
        ("a.txt", b"x\n" * (MOST + 1), f"more than {MOST} prompts"),
    ],
)
def test_a_bad_file_is_a_sentence(live: AppTest, name: str, data: bytes, sentence: str):
    page = upload(live, name, data)
    assert not page.exception
    assert sentence in notices(page)[0]
    assert [b.disabled for b in page.button if b.label == "Run"] == [True]


def test_the_engines_are_listed_on_request(live: AppTest):
    assert not live.dataframe
    page = ask(live, OPEN)
    page.session_state["engines-here"] = True
    page = page.run()
    assert not page.exception
    assert any(text.startswith("In memory: tiny: ") and "llm@onnx" in text for text in notices(page))


def test_the_tables_of_a_batch_parse_to_what_was_measured(live: AppTest):
    from hybrid.live.batch import table

    page = press(upload(live, "a.txt", f"{OPEN}\n".encode()), "Run")
    batch: Table = table(page.session_state["batch-of-prompts"])
    (row,) = csv.DictReader(io.StringIO(batch.csv().decode()))
    summaries = page.session_state["batch-of-prompts"].rows[0].summaries
    assert row["llm answer"].removeprefix("'") == summaries["llm"].text.removeprefix("'")
    assert float(row["hybrid ms"]) == pytest.approx(summaries["hybrid"].total_s * 1000, abs=0.06)
