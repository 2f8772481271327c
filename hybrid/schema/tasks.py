"""What is asked of a model, and the words around a text that ask for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hybrid.schema.texts import UNREADABLE

TaskKind = Literal["translation", "summary"]


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


LONGEST_LABEL = 100  # characters of what a pair calls a task, or a language
LARGEST_PROMPT = 2**20  # bytes in UTF-8; refused before it is tokenized, which takes 70 times the memory
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
    with lines. What else there is to it is the pair's, see tasks_of() of hybrid.models.manifest, and
    of a stored run Run.task.
    """
    if name in TASKS:
        return TASKS[name]
    if languages := _TRANSLATION.fullmatch(name):
        source, target = languages[1], languages[2]
        told = (LANGUAGES.get(language, language) for language in (source, target))
        kind: TaskKind = "summary" if source == target else "translation"
        return Task(name, "Translate {} to {}".format(*told), "", source, target, kind=kind)
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
