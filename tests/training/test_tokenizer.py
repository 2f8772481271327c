"""The tokenizer writes back every text, keeps digits apart and knows each task's prefix."""

import pytest
from tokenizers import Tokenizer

from hybrid.schema import TASKS
from hybrid.training.tokenizer import SPECIALS, train_tokenizer

TEXTS = [
    "The committee agreed that the new bridge should be opened before winter 2024.",
    "Das Haus am Fluss ist alt und groß; viele Leute wohnen dort seit 1999.",
    "She said nothing, took her coat and walked through the rain to the station.",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS * 3, 320)


def test_size_and_special_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 320
    assert [tokenizer.token_to_id(token) for token in SPECIALS] == [0, 1, 2]
    assert SPECIALS == ("<pad>", "</s>", "<unk>")


@pytest.mark.parametrize(
    "text", [*TEXTS, "Ünïcödé – „Zitat“ 漢字 🚂", "two  spaces\tand\nlines", "x=3.14159"]
)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    encoding = tokenizer.encode(text)
    assert tokenizer.decode(encoding.ids) == text
    assert 2 not in encoding.ids


def test_digits_stand_alone(tokenizer: Tokenizer) -> None:
    digits = [token for token in tokenizer.encode("2024 1999").tokens if any(c.isdigit() for c in token)]
    assert digits == list("20241999")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_prefix_is_one_token(tokenizer: Tokenizer, task) -> None:
    encoding = tokenizer.encode(task.prefix + "The rain")
    assert encoding.tokens[0] == task.prefix.rstrip()
    assert tokenizer.decode(encoding.ids[1:]) == " The rain"


def test_it_is_the_same_every_time() -> None:
    assert train_tokenizer(TEXTS, 300).to_str() == train_tokenizer(TEXTS, 300).to_str()
