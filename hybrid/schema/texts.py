"""What is asked of a model, the words around a text that ask for it, and what a text is to all who read it.

Runs store texts as they were given; they are normalized, in one way, where a model
reads them and where a metric scores them, and nowhere else.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TaskKind = Literal["translation", "summary"]
LONGEST_LABEL = 100  # characters of what a pair calls a task, or a language
LARGEST_PROMPT = 2**20  # bytes in UTF-8; refused before it is tokenized, which takes 70 times the memory
TASK_NAME = re.compile(r"[A-Za-z0-9][\w-]{0,63}", re.ASCII)
_TRANSLATION = re.compile(r"translate-([a-z]{2,3})-([a-z]{2,3})(-[\w-]+)?", re.ASCII)
# Names of languages by their ISO 639-1 codes; another one is called by its code.
LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fi": "Finnish", "fr": "French", "hi": "Hindi", "hu": "Hungarian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
# Shown as nothing: soft hyphen, directional marks, zero-width space, word joiner, byte-order mark.
_INVISIBLE = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_JOINERS = re.compile("[\u200c\u200d]+")
_SPACE = re.compile(r"\s+")
_LINE_END = re.compile("[\n\v\f\r\x85\u2028\u2029]")
# Unicode's categories Cc and Cs but for line ends and tabs: control characters, halves of surrogate pairs.
UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Task:
    """What is asked of a model, and the words that ask for it.

    prefix, suffix: before and behind a text: "translate English to German: ", as T5 learned it, or an
        instruction for a chat model.
    source_language, target_language: of texts and answers, as BCP 47 has them; empty where not known.
    lines: whether line ends are a part of its texts, or white space like any other.
    kind: what it is to metrics: BLEU judges translations, ROUGE summaries and all else, in any language.
    """

    name: str
    label: str
    prefix: str
    source_language: str
    target_language: str
    lines: bool = False
    suffix: str = ""
    kind: TaskKind = "summary"

    @property
    def languages(self) -> str:
        """Write its languages: "en to de", "en", or nothing where they are not known."""
        known = dict.fromkeys((self.source_language, self.target_language))
        return " to ".join(filter(None, known))


@dataclass(frozen=True)
class PromptFormat:
    """What stands around a text in the prompt of one model for one task.

    before, after: text; special tokens are written by their names: "<|im_start|>user\\n".
    bos, eos: names of the special tokens that the model's tokenizer itself puts around all that; or empty.
    """

    before: str = ""
    after: str = ""
    bos: str = ""
    eos: str = ""


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(
            "translate-en-de", "Translate English to German", "translate English to German: ", "en", "de",
            kind="translation",
        ),
        Task("summarize", "Summarize", "summarize: ", "en", "en", lines=True),
    )
}  # fmt: skip


def is_task_name(name: str) -> bool:
    """Tell whether a task may have this name: a built-in one, or one that some pair has of its own."""
    return TASK_NAME.fullmatch(name) is not None


def task_named(name: str) -> Task:
    """Give the built-in task of this name, or what the name says of a task that a pair has of its own.

    "translate-fr-pt" is a translation from fr to pt; any other is one within a language, of documents
    with lines. What else there is to it is the pair's, see tasks_of() of hybrid.models.manifest, and
    of a stored run Run.task.
    """
    if name in TASKS:
        return TASKS[name]
    if match := _TRANSLATION.fullmatch(name):
        source, target = match[1], match[2]
        languages = (LANGUAGES.get(language, language) for language in (source, target))
        kind: TaskKind = "summary" if source == target else "translation"
        return Task(name, "Translate {} to {}".format(*languages), "", source, target, kind=kind)
    return Task(name, name, "", "", "", lines=True)


def check_own_task(task: Task) -> None:
    """Raise ValueError for a task that no pair can have: by its name, or by what shows nothing when shown.

    A name translate-SOURCE-TARGET states the languages, as suites rely on it; any other may have any.
    """
    if not is_task_name(task.name):
        raise ValueError(
            f"the task {task.name[:80]!r} is no name of letters, digits, - and _, 64 at the most"
        )
    for text in (task.label, task.source_language, task.target_language):
        if not text.isprintable() or len(text) > LONGEST_LABEL:
            raise ValueError(f"{text[:80]!r} has control characters, or more than {LONGEST_LABEL} characters")
    for text in (task.prefix, task.suffix):
        if UNREADABLE.search(text):
            raise ValueError(f"{text[:80]!r} has control characters")
    source, target, named = task.source_language, task.target_language, task_named(task.name)
    of_name = named.kind, named.source_language, named.target_language
    if named.kind == "translation" and (task.kind, source, target) != of_name:
        right = (
            f"translate-{source}-{target}" if task.kind == "translation" else "something without translate-"
        )
        raise ValueError(
            f"the task {task.name!r} is a {task.kind} from {source[:20]!r} to {target[:20]!r}, and "
            f"its name says otherwise: call it {right}"
        )


def normalized(text: str, lines: bool = False) -> str:
    """Write a text as models read it and metrics score it.

    What shows nothing goes: soft hyphens, zero-width spaces, directional and
    byte-order marks, and joiners (ZWJ, ZWNJ) but between letters of scripts other
    than Latin, or symbols, as in Persian words and emoji. A letter and its accent
    become one character (NFC, Unicode Standard Annex 15). A run of white space becomes one
    blank, none at the ends.

    lines: a run with a line end in it becomes one line feed instead, as documents
    were written that the models of the zoo learned to summarize.
    """
    composed = unicodedata.normalize("NFC", _visible(text))
    if lines:
        return _SPACE.sub(lambda run: "\n" if _LINE_END.search(run[0]) else " ", composed).strip()
    return " ".join(composed.split())


def changes(text: str, lines: bool = False) -> tuple[str, ...]:
    """Name what normalized() changes in a text, but for white space at its ends."""
    visible = _visible(text)
    composed = unicodedata.normalize("NFC", visible)
    steps = (
        ("invisible characters removed", text, visible),
        ("accents composed", visible, composed),
        ("white space reduced to single blanks", composed.strip(), normalized(composed, lines)),
    )
    return tuple(name for name, before, after in steps if before != after)


def _visible(text: str) -> str:
    if text.isascii():
        return text
    return _JOINERS.sub(_joiners, _INVISIBLE.sub("", text))


def _joiners(run: re.Match[str]) -> str:
    text = run.string
    before, after = text[: run.start()][-1:], text[run.end() :][:1]
    return run[0] if _takes_joiners(before) and _takes_joiners(after) else ""


def _takes_joiners(character: str) -> bool:
    """Tell whether a joiner beside it means something; an end of the text is the empty string."""
    if character.isascii() or character.isspace() or unicodedata.category(character).startswith("P"):
        return False
    return not unicodedata.name(character, "").startswith("LATIN")
