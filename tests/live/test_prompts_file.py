"""Prompts in files as people have them, and sentences for those that cannot be read."""

import json

import pytest

from hybrid.errors import InputError
from hybrid.live.prompts_file import LONGEST, MOST, MOST_BYTES, PromptRow, read_prompts

BOTH = (PromptRow("One, two.", "Eins, zwei."), PromptRow("Three.", ""))


@pytest.mark.parametrize(
    ("name", "text", "prompts"),
    [
        ("a.txt", "One, two.\r\n\r\n  \nThree.", (PromptRow("One, two."), PromptRow("Three."))),
        ("a.TXT", "\ufeffOne,\u2028two.", (PromptRow("One,\u2028two."),)),
        ("a.csv", 'id,Source,reference\n1,"One, two.","Eins, zwei."\n2,Three.,\n', BOTH),
        ("a.csv", 'source\n"One\ntwo"\n', (PromptRow("One\ntwo"),)),
        (
            "a.tsv",
            'source\treference\nOne, two.\tEins, zwei.\nThree.\t\n"a\tb"\n',
            (*BOTH, PromptRow('"a', 'b"')),
        ),
        (
            "a.jsonl",
            '{"source": "One, two.", "references": ["Eins, zwei.", "x"]}\n\n{"document": "Three."}\n',
            BOTH,
        ),
    ],
)
def test_prompts_and_references_are_read(name, text, prompts):
    assert read_prompts(name, text.encode()) == prompts


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"", "a.txt holds no prompt."),
        ("a.csv", b"", "a.csv holds no prompt."),
        ("a.csv", b"source,reference\n", "a.csv holds no prompt."),
        ("a.txt", b"fine\nb\xe4d\n", "a.txt, line 2, is not UTF-8 text (byte 0xE4 at position 2)"),
        ("a.txt", "héllo".encode("utf-16"), "UTF-16"),
        ("a.pdf", b"%PDF", "none of .txt, .tsv, .csv, .jsonl, .ndjson"),
        ("a", b"x", "none of"),
        ("a.txt", b"x" * (LONGEST + 1), f"line 1: a text has {LONGEST + 1:,} characters"),
        ("a.txt", b"x\n" * (MOST + 1), f"more than {MOST} prompts"),
        ("a.txt", b"x" * (MOST_BYTES + 1), "1,000,000 are read at the most"),
        (
            "a.csv",
            b"text,reference\na,b\n",
            "text, reference could be texts or names of columns; name them in the first line: source",
        ),
        ("a.csv", b"source,reference\na\n", "line 2: the line has 1 column and the first one 2"),
        ("a.csv", b'source\n"a\n', "a.csv, line 2: it is not CSV"),
        ("a.csv", b"source\n" + b"x" * 140_000, "line 2: a text has 140,000 characters"),
        ("a.jsonl", b'{"source": "a"}\nnope\n', "a.jsonl, line 2: the line is not JSON"),
        ("a.jsonl", b"[" * 200_000, "a.jsonl, line 1: the line is not JSON"),
        ("a.jsonl", b'["a"]', "the line is no JSON object"),
        ("a.jsonl", b'{"source": 5}', "'source' is not a text but the value 5"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(name, data, sentence):
    with pytest.raises(InputError) as caught:
        read_prompts(name, data)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


def test_the_name_of_a_file_is_shown_on_one_line_without_turning_marks():
    with pytest.raises(InputError) as caught:
        read_prompts("\u202eevil\n" + "x" * 300 + ".exe", b"x")
    assert "\u202e" not in str(caught.value)
    assert len(str(caught.value)) < 150


def test_a_full_file_is_read_whole():
    lines = [json.dumps({"source": f"Prompt {n}."}) for n in range(MOST)]
    assert len(read_prompts("a.jsonl", "\n".join(lines).encode())) == MOST
