"""Prompts of every kind of tokenizer: the ids of the text as the model has them, and no more."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hybrid.errors import InputError, PromptTooLong
from hybrid.models.prompts import TextCodec, TextEncoder
from hybrid.schema import TASKS, EncodedPrompt, PromptFormat, Task
from hybrid.schema.texts import UNREADABLE, normalized
from tests.models.tokenizer_kinds import KINDS, LOSSLESS

TASK = "simplify"
OWN = Task(TASK, "Simplify", "Simplify: ", "en", "en", lines=True)
FORMATS = {
    "words": PromptFormat("summarize: "),
    "both sides": PromptFormat("English: ", "\nGerman:"),
    "chat": PromptFormat("<s><|im_start|>user\nMake it plain.\n\n", "<|im_end|>\n<|im_start|>assistant\n"),
    "llama": PromptFormat("<s>[INST] ", " [/INST]"),
    "tokens alone": PromptFormat("<|im_start|>", "<|im_end|>"),
}
SPECIAL = [
    "</s>", "<pad>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_id_0>", "<unk>", "<s>", "<think>",
]  # fmt: skip
SAMPLES = ["the old house", "größer 🙂", "日本", " ", "\n", "a\u0301", "1,250", "<0x0A>", "▁", "Привет"]
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30),
    st.lists(st.sampled_from(SAMPLES), max_size=8).map("".join),
).filter(lambda text: normalized(text) and not UNREADABLE.search(text))
hostile = (
    st.lists(st.sampled_from([*SPECIAL, *SAMPLES]), min_size=1, max_size=8).map("".join).filter(normalized)
)
EVERY = settings(max_examples=30, deadline=None)


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    return KINDS[kind]()


@cache
def encoder_of(kind: str, name: str, eos: str = "") -> TextEncoder:
    return TextEncoder(tokenizer_of(kind), {TASK: FORMATS[name]}, {TASK: OWN}, eos)


def special_ids(kind: str) -> set[int]:
    return {n for n, token in tokenizer_of(kind).get_added_tokens_decoder().items() if token.special}


def is_plain(kind: str, text: str) -> bool:
    return not special_ids(kind) & set(tokenizer_of(kind).encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
@EVERY
@given(text=texts)
def test_ids_are_those_of_the_whole_prompt(kind, name, text):
    if not is_plain(kind, text):
        return
    known = FORMATS[name]
    whole = known.before + normalized(text, lines=True) + known.after
    expected = tokenizer_of(kind).encode(whole, add_special_tokens=False).ids
    assert encoder_of(kind, name).prompt(TASK, text) == expected
    assert encoder_of(kind, name).prompts([(TASK, text), (TASK, "x"), (TASK, text)])[::2] == [expected] * 2


@pytest.mark.parametrize("kind", ["t5", "llama"])
@given(text=texts)
@EVERY
def test_what_the_tokenizer_puts_around_a_text_is_part_of_a_format(kind, text):
    if not is_plain(kind, text):
        return
    frame = {"t5": PromptFormat("summarize: ", eos="</s>"), "llama": PromptFormat("summarize: ", bos="<s>")}
    encoder = TextEncoder(tokenizer_of(kind), {TASK: frame[kind]}, {TASK: OWN})
    expected = tokenizer_of(kind).encode("summarize: " + normalized(text, lines=True)).ids
    assert encoder.prompt(TASK, text) == expected


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
@EVERY
@given(text=hostile)
def test_no_text_becomes_a_special_token(kind, name, text):
    special, encoder = special_ids(kind), encoder_of(kind, name)
    unknown = (
        tokenizer_of(kind).token_to_id("<unk>") if kind == "t5" else None
    )  # of 🙂, which it does not know
    plain = encoder.prompt(TASK, "x")
    ids = encoder.prompt(TASK, text)
    assert [n for n in ids if n in special - {unknown}] == [n for n in plain if n in special - {unknown}]
    (answer,) = encoder.answers([(TASK, text)])
    assert not set(answer) & (special - {unknown})


@pytest.mark.parametrize("kind", LOSSLESS)
@EVERY
@given(text=st.one_of(texts, hostile))
def test_answers_come_back(kind, text):
    (ids,) = encoder_of(kind, "words").answers([(TASK, text)])
    own = normalized(text, lines=True)
    if "▁" in own and kind not in ("gpt2", "qwen"):  # SentencePiece writes a blank with it
        return
    assert tokenizer_of(kind).decode(ids, skip_special_tokens=True) == own


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
@EVERY
@given(text=texts, room=st.integers(1, 12))
def test_a_cut_is_of_the_text_alone(kind, name, text, room):
    encoder = encoder_of(kind, name)
    whole, frame = encoder.prompt(TASK, text * 3), encoder.prompt(TASK, "x")
    limit = len(frame) + room
    cut = encoder.prompt(TASK, text * 3, limit)
    assert len(cut) <= max(limit, len(frame))
    if len(whole) <= limit:
        assert cut == whole
    head, tail = (
        tokenizer_of(kind).encode(part, add_special_tokens=False).ids
        for part in (FORMATS[name].before.rstrip(), FORMATS[name].after)
    )
    assert cut[: len(head) - 1] == head[:-1]  # what stands beside the text may be one token with it
    assert (cut[2 - len(tail) :] == tail[2:] == frame[2 - len(tail) :]) or len(tail) < 3


def fast(kind: str, eos: str, pad: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](), eos_token=eos, pad_token=pad)


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    """A Qwen that reads and a T5 that writes."""
    qwen, t5 = fast("qwen", "<|im_end|>", "<|end|>"), fast("t5", "</s>", "<pad>")
    return TextCodec(qwen, 40, t5, {TASK: FORMATS["chat"]}, {TASK: OWN})


def test_one_reads_and_the_other_writes(codec):
    (prompt,) = codec.encode(TASK, ["the old house"])
    expected = codec.reader.backend_tokenizer.encode(
        FORMATS["chat"].before + "the old house" + FORMATS["chat"].after, add_special_tokens=False
    )
    assert prompt == EncodedPrompt(tuple(expected.ids))
    assert (codec.eos_id, codec.pad_id) == (1, 0)
    assert codec.reader_pad_id == codec.reader.convert_tokens_to_ids("<|end|>") != 0
    written = TextEncoder(codec.writer.backend_tokenizer, {}, {TASK: OWN}, "</s>").answers(
        [(TASK, "Das Haus")]
    )
    assert written[0][-1] == codec.eos_id
    assert codec.decode([codec.pad_id, *written[0], codec.pad_id]) == "Das Haus"


def test_only_the_tasks_of_the_pair_are_known(codec):
    with pytest.raises(InputError, match="'summarize'; available: simplify"):
        codec.encode("summarize", ["the old house"])
    assert TASK not in TASKS


def test_a_prompt_whose_format_leaves_no_room_is_refused_cut_or_not(codec):
    tight = TextCodec(codec.reader, 10, codec.writer, {TASK: FORMATS["chat"]}, {TASK: OWN})
    for truncate in (False, True):
        with pytest.raises(PromptTooLong):
            tight.encode(TASK, ["the old house"], truncate)


def test_a_task_is_for_a_script():
    def notices(language: str, text: str) -> tuple[str, ...]:
        task = Task("translate-it-en", "label", "x ", language, "en")
        tokenizer = fast("gpt2", "<|endoftext|>", "<|endoftext|>")
        return TextCodec(tokenizer, 200, tasks={task.name: task}).notices(task.name, text)

    assert "trained on Italian" in notices("it", "Привет, мир")[0]
    assert notices("it", "La città è qui") == notices("ru", "Привет, мир") == ()
