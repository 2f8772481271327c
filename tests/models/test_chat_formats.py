"""Formats of pretrained models: chat templates rendered once, or what a tokenizer puts around a text."""

import pytest

from hybrid.errors import PairError
from hybrid.models.prompt_formats import answer_end, prompt_format
from hybrid.models.prompts import TextEncoder
from hybrid.schema import TASKS, PromptFormat
from tests.models.tokenizer_kinds import gpt2, llama, qwen, t5

CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
INST = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
INST += "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
TASK = TASKS["summarize"]


def test_a_template_is_rendered_around_the_text():
    before = "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nsummarize: "
    after = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert prompt_format(qwen(), TASK, CHATML) == PromptFormat(before, after)
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    assert prompt_format(llama(), TASK, INST, tokens) == PromptFormat("<s>[INST] summarize: ", " [/INST]")


def test_ids_are_those_of_the_template_with_the_text_in_it():
    from transformers import PreTrainedTokenizerFast

    whole = PreTrainedTokenizerFast(tokenizer_object=qwen(), chat_template=CHATML)
    chat = [{"role": "user", "content": "summarize: the old house"}]
    expected = whole.apply_chat_template(
        chat, add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    encoder = TextEncoder(qwen(), {"summarize": prompt_format(qwen(), TASK, CHATML)})
    assert encoder.prompt("summarize", "the old house") == expected


def test_without_a_template_the_tokenizer_frames_the_task():
    assert prompt_format(gpt2(), TASK) == PromptFormat("summarize: ")
    assert prompt_format(t5(), TASK) == PromptFormat("summarize: ", eos="</s>")
    assert prompt_format(llama(), TASK) == PromptFormat("summarize: ", bos="<s>")


def test_an_answer_ends_where_the_turn_of_a_chat_does():
    tokenizer = qwen()
    end, turn = (tokenizer.token_to_id(name) for name in ("<|end|>", "<|im_end|>"))
    tokens = {"eos_token": "<|end|>"}
    assert answer_end(tokenizer, [end, turn], CHATML, tokens) == "<|im_end|>"
    assert answer_end(tokenizer, [end], CHATML, tokens) == "<|end|>"
    assert answer_end(tokenizer, [turn], "", {}) == "<|im_end|>"
    assert answer_end(llama(), [], INST, {"bos_token": "<s>", "eos_token": "</s>"}) == "</s>"
    with pytest.raises(PairError, match="ends an answer"):
        answer_end(tokenizer, [], "", {"eos_token": "none of it"})


@pytest.mark.parametrize(
    "template",
    [
        "{{ nothing.at.all }}",
        "{% for",
        "{{ raise_exception('only with tools') }}",
        "{{ messages.clear() }}",
        "{{ ''.__class__.__mro__ }}{{ messages[0].content.__globals__ }}",
        "{{ 1 / 0 }}",
        "no text",
        "{{ messages[0].content }} {{ messages[0].content }}",
        "{{ messages[0].content | lower }}",
        "{{ 'a' * 100000 }}{{ messages[0].content }}",
        "x" * 200_000,
    ],
)
def test_a_template_that_cannot_be_used_is_refused_in_a_sentence(template):
    with pytest.raises(PairError, match="The chat template") as caught:
        prompt_format(qwen(), TASK, template)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
