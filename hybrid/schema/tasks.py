"""What is asked of a model, and the words around a text that ask for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TaskKind = Literal["translation", "summary"]


@dataclass(frozen=True)
class Task:
    """What is asked of a model, and the words that ask for it.

    prefix, suffix: before and behind a text: "translate English to German: ", as T5 learned it, or an
        instruction for a chat model.
    lines: whether line ends are a part of its texts, or white space like any other.
    """

    name: str
    label: str
    prefix: str
    source_language: str
    target_language: str
    lines: bool = False
    suffix: str = ""

    @property
    def translates(self) -> bool:
        """Tell whether its answers are in another language than its texts."""
        return self.source_language != self.target_language

    @property
    def kind(self) -> TaskKind:
        """Name what it is to metrics: anything within a language is judged as a summary."""
        return "translation" if self.translates else "summary"


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


LARGEST_PROMPT = 2**20  # bytes in UTF-8; refused before it is tokenized, which takes 70 times the memory
TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("translate-en-de", "Translate English to German", "translate English to German: ", "en", "de"),
        Task("summarize", "Summarize", "summarize: ", "en", "en", lines=True),
    )
}
# Of a task that some pair has of its own: runs and suites know the name alone, and metrics follow from it.
TASK_NAME = re.compile(r"[A-Za-z0-9][\w-]{0,63}", re.ASCII)
_TRANSLATION = re.compile(r"translate-([a-z]{2,3})-([a-z]{2,3})(-[\w-]+)?", re.ASCII)


def is_task_name(name: str) -> bool:
    """Tell whether a task may have this name: a built-in one, or one that some pair has of its own."""
    return TASK_NAME.fullmatch(name) is not None


# Names of languages by their ISO 639-1 codes; another one is called by its code.
LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fi": "Finnish", "fr": "French", "hi": "Hindi", "hu": "Hungarian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


def task_named(name: str) -> Task:
    """Give the built-in task of this name, or what the name says of a task that a pair has of its own.

    "translate-fr-pt" is a translation from fr to pt; any other is one within a language, of documents
    with lines. Its words are the pair's, see tasks_of() of hybrid.models.manifest, and empty here.
    """
    if name in TASKS:
        return TASKS[name]
    if languages := _TRANSLATION.fullmatch(name):
        source, target = languages[1], languages[2]
        told = (LANGUAGES.get(language, language) for language in (source, target))
        return Task(name, "Translate {} to {}".format(*told), "", source, target)
    return Task(name, name, "", "", "", lines=True)
