"""From text to prompt ids: each refusal is one clear sentence, nothing is cut silently."""

import pytest

from hybrid.errors import InputError, PromptTooLong
from hybrid.models.prompts import TextCodec, TextEncoder
from hybrid.models.sources import ZooSource
from hybrid.schema import LARGEST_PROMPT, TASKS
from hybrid.suites import bundled_suites, load_suite
from tests.loaded import EN_DE

TASK = "translate-en-de"


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_file):
    from hybrid.models.pair_files import load_tokenizer

    return load_tokenizer(tiny_tokenizer_file)


@pytest.fixture(scope="module")
def bundled():
    return ZooSource(EN_DE).codec("llm").reader


def encode_prompt(tokenizer, task, text, limit, truncate=False):
    (prompt,) = TextCodec(tokenizer, limit).encode(task, [text], truncate)
    return prompt


def encode_prompts(tokenizer, task, texts, limit, truncate=False):
    return TextCodec(tokenizer, limit).encode(task, texts, truncate)


def notices(tokenizer, task, text, limit, truncate=False):
    return TextCodec(tokenizer, limit).notices(task, text, truncate)


def test_a_prompt_is_prefix_text_and_end_of_sequence(tokenizer):
    prompt = encode_prompt(tokenizer, TASK, "  The new bridge.\n", 100)
    assert prompt.token_ids[-1] == tokenizer.eos_token_id == 1
    assert tokenizer.decode(prompt.token_ids[:-1]) == "translate English to German: The new bridge."
    assert not prompt.truncated
    assert notices(tokenizer, TASK, "  The new bridge.\n", 100) == ()


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u00a0", "\u200b\ufeff"])
def test_an_empty_prompt_is_refused(tokenizer, text):
    with pytest.raises(InputError, match="empty"):
        encode_prompt(tokenizer, TASK, text, 100)


@pytest.mark.parametrize(
    ("text", "name"), [("a\x00b", "U\\+0000"), ("a\x1bb", "U\\+001B"), ("a\ud800b", "U\\+D800")]
)
def test_a_control_character_is_named_with_its_position(tokenizer, text, name):
    with pytest.raises(InputError, match=f"{name}.*position 2"):
        encode_prompt(tokenizer, TASK, text, 100)


@pytest.mark.parametrize(
    ("text", "plain", "notice"),
    [
        ("one\r\n\ttwo", "one two", "white space"),
        ("a cafe\u0301", "a caf\u00e9", "accents"),
        ("a so\u00adfa\ufeff", "a sofa", "invisible"),
        ("ten\u00a0 men", "ten men", "white space"),
    ],
)
def test_what_looks_alike_is_encoded_alike_and_that_is_said(tokenizer, text, plain, notice):
    assert encode_prompt(tokenizer, TASK, text, 100) == encode_prompt(tokenizer, TASK, plain, 100)
    (sentence,) = notices(tokenizer, TASK, text, 100)
    assert sentence.startswith("The prompt was normalized before it was read: ")
    assert notice in sentence
    assert notices(tokenizer, TASK, plain, 100) == ()


def test_a_document_keeps_its_lines_and_a_sentence_has_none(tokenizer):
    document = encode_prompt(tokenizer, "summarize", "One.\r\n\r\nTwo.", 100)
    assert tokenizer.decode(document.token_ids[:-1]) == "summarize: One.\nTwo."
    assert notices(tokenizer, "summarize", "One.\nTwo.", 100) == ()


def old_ids(tokenizer, task, text):
    """As the pairs of the zoo were trained: a task's token wherever its words stand."""
    return tokenizer.encode(TASKS[task].prefix + text, add_special_tokens=False, split_special_tokens=True)


def test_ordinary_texts_have_the_ids_that_the_bundled_pair_was_trained_with(bundled):
    texts = {
        f"{who} {what} {number} {things}{end}"
        for who in ("Anna", "Our neighbour", "No one,", "The Müllers")
        for what in ("has bought", "can't find", 'said "no" to')
        for number in ("2", "1,250", "four (4)")
        for things in ("tickets", "€-coins", "pairs of e-mails", "houses", "kg/m²", "files: a.txt")
        for end in (".", "?")
    }
    for suite in (load_suite(f"{name}@1") for name in bundled_suites()):
        texts |= {text for e in suite.examples for text in (e.source, *e.references)}
    assert len(texts) > 1000
    codec, encoder = TextCodec(bundled, 10_000), TextEncoder(bundled.backend_tokenizer)
    for task in TASKS:
        expected = [old_ids(bundled, task, text) for text in texts]
        assert [[*prompt.token_ids[:-1]] for prompt in codec.encode(task, list(texts))] == expected
        assert encoder.prompts((task, text) for text in texts) == expected
    answers = encoder.answers(("summarize", text) for text in texts)
    assert answers == [bundled.encode(text, add_special_tokens=False) for text in texts]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "text",
    [
        "To summarize: we meet on Friday.",
        "summarize:",
        "translate English to German: yes",
        "summarize:summarize: </s>",
        "<pad></s><unk> and <extra_id_0>",
    ],
)
def test_what_is_typed_never_becomes_a_token_of_its_own(tokenizer, bundled, task, text):
    for each, tokens in ((tokenizer, {"</s>"}), (bundled, {"</s>", "summarize:"})):
        added = each.backend_tokenizer.get_added_tokens_decoder()
        assert {token.content for token in added.values()} >= tokens
        (prompt,) = TextCodec(each, 200).encode(task, [text])
        assert (prompt.token_ids[0] in added) == (each is bundled)
        assert prompt.token_ids[-1] == each.eos_token_id
        assert not added.keys() & set(prompt.token_ids[1:-1])
        assert each.decode(prompt.token_ids[:-1]) == TASKS[task].prefix + text
        (answer,) = TextEncoder(each.backend_tokenizer).answers([(task, text)])
        assert not added.keys() & set(answer)
        assert each.decode(answer) == text


@pytest.mark.parametrize("text", ["a" * (LARGEST_PROMPT + 1), "ä" * (LARGEST_PROMPT // 2 + 1)])
def test_a_prompt_that_would_fill_the_memory_is_refused_before_it_is_read(tokenizer, text, monkeypatch):
    monkeypatch.setattr(TextEncoder, "prompt", lambda *_: pytest.fail("it was tokenized"))
    for truncate in (False, True):
        with pytest.raises(InputError, match=r"The prompt has 1,048,57\d bytes; 1,048,576 are read"):
            encode_prompt(tokenizer, TASK, text, 100, truncate)


def test_too_long_states_both_numbers(tokenizer):
    whole = encode_prompt(tokenizer, TASK, "bridge " * 40, 1000)
    with pytest.raises(PromptTooLong, match=rf"{len(whole.token_ids)} tokens .* at most 20\b") as caught:
        encode_prompt(tokenizer, TASK, "bridge " * 40, 20)
    assert (caught.value.tokens, caught.value.limit) == (len(whole.token_ids), 20)


def test_the_longest_prompt_that_fits_is_not_cut(tokenizer):
    whole = encode_prompt(tokenizer, TASK, "bridge " * 40, 1000)
    assert encode_prompt(tokenizer, TASK, "bridge " * 40, len(whole.token_ids)) == whole


def test_truncation_is_asked_for_and_said(tokenizer):
    whole = encode_prompt(tokenizer, TASK, "bridge " * 40, 1000)
    cut = encode_prompt(tokenizer, TASK, "bridge " * 40, 20, truncate=True)
    assert cut.token_ids == (*whole.token_ids[:19], tokenizer.eos_token_id)
    assert cut.truncated
    assert notices(tokenizer, TASK, "bridge " * 40, 20, truncate=True) == (
        f"The prompt was cut to its first 20 of {len(whole.token_ids)} tokens.",
    )


@pytest.mark.parametrize("text", ["Привет, мир", "今日は良い天気です", "مرحبا بالعالم"])
def test_other_scripts_get_a_notice(tokenizer, text):
    assert "not in Latin script" in notices(tokenizer, TASK, text, 200)[0]


@pytest.mark.parametrize("text", ["Größe über alles", "12,5 %", "Anna said Привет"])
def test_latin_scripts_and_numbers_get_none(tokenizer, text):
    assert notices(tokenizer, TASK, text, 100) == ()


def test_an_unknown_task_lists_the_available(tokenizer):
    with pytest.raises(InputError, match=r"'poem'.*translate-en-de, summarize"):
        encode_prompt(tokenizer, "poem", "text", 100)


def test_several_prompts_are_the_same_as_each_alone(tokenizer):
    texts = ["The new bridge.", "Winter."]
    assert encode_prompts(tokenizer, TASK, texts, 100) == tuple(
        encode_prompt(tokenizer, TASK, text, 100) for text in texts
    )
    cut = encode_prompts(tokenizer, TASK, ["one", "bridge " * 40], 20, truncate=True)
    assert [len(prompt.token_ids) for prompt in cut][1] == 20


def test_of_several_prompts_the_refused_one_is_named(tokenizer):
    for text, error, sentence in (
        ("", InputError, "is empty"),
        ("a\x00b", InputError, r"has a control character \(U\+0000\) at position 2"),
        ("bridge " * 40, PromptTooLong, r"has \d+ tokens"),
    ):
        with pytest.raises(error, match=f"^Prompt 2 of 3 {sentence}"):
            encode_prompts(tokenizer, TASK, ["one", text, "three"], 20)
        with pytest.raises(error, match=f"^The prompt {sentence}"):
            encode_prompts(tokenizer, TASK, [text], 20)


def test_no_prompt_and_a_bare_string_are_refused(tokenizer):
    with pytest.raises(InputError, match="no prompt to answer; give at least one"):
        encode_prompts(tokenizer, TASK, [], 100)
    with pytest.raises(TypeError, match="list of strings"):
        encode_prompts(tokenizer, TASK, "one", 100)


def test_ids_become_text_without_special_tokens(tokenizer):
    codec = TextCodec(tokenizer, 100)
    (prompt,) = codec.encode(TASK, ["The new bridge."])
    assert codec.decode((0, *prompt.token_ids)) == "translate English to German: The new bridge."
    assert codec.eos_id == 1
