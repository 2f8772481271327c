"""One line of the table, and what the measurements share."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hybrid.engines.contract import EngineConfig, LoadedSystem
from hybrid.engines.registry import create_engines
from hybrid.measuring.answers import measure_answers, warm_up
from hybrid.models.prompts import TextCodec
from hybrid.models.source import Source
from hybrid.schema import Generation, Sampling, System
from hybrid.suites import load_suite

TASK = "translate-en-de"


@dataclass(frozen=True)
class Bar:
    """What was asked, what was found, and whether that will do."""

    asked: str
    found: str
    met: bool


Measured = Iterator[Bar]


def engines(source: Source, wanted: Mapping[str, Sequence[str]], **options: str) -> dict[str, LoadedSystem]:
    """By METHOD@ENGINE, for each engine's name the methods that are wanted of it; one thread."""
    found: dict[str, LoadedSystem] = {}
    for name, methods in wanted.items():
        made = create_engines(name, EngineConfig(source, tuple(methods), dtype="", options=options))
        for method, engine in made.items():
            system = System(method, name)
            found[system] = LoadedSystem(system=system, engine=engine, codec=source.codec(method))
    return found


def interleaved(
    contestants: Mapping[str, LoadedSystem], texts: Sequence[str], sampling: Sampling, rounds: int
) -> dict[str, list[Generation]]:
    """Every engine's answers to each text by itself, in turn, `rounds` times after one that is dropped."""
    found: dict[str, list[Generation]] = {name: [] for name in contestants}
    for engine in contestants.values():
        for text in (max(texts, key=len), texts[0]):
            warm_up(engine, TASK, [text], sampling.max_new_tokens)
    for number in range(rounds):
        for text in texts:
            names = list(contestants)
            first = number % len(names)
            for name in names[first:] + names[:first]:
                found[name] += measure_answers(contestants[name], TASK, [text], sampling)
    return found


def ratio(
    of: Sequence[Generation], over: Sequence[Generation], value: Callable[[Generation], float | None]
) -> float:
    """The median of paired ratios."""
    return statistics.median(value(a) / value(b) for a, b in zip(of, over, strict=True))  # type: ignore[operator]


def total_s(made: Generation) -> float:
    return made.timing.total_s


def tpot_s(made: Generation) -> float | None:
    return made.timing.tpot_s


def prompt_of(source: Source, tokens: int) -> str:
    """A text of the bundled suites that makes a prompt of exactly so many tokens, cut after a word."""
    codec = TextCodec(source.tokenizer(), 10**6)
    texts = [e.source for name in ("everyday-en-de", "briefs-en") for e in load_suite(name).examples]
    for text in texts:
        words = text.split()
        for count in range(len(words), 0, -1):
            (prompt,) = codec.encode(TASK, [" ".join(words[:count])])
            if len(prompt.token_ids) == tokens:
                return " ".join(words[:count])
            if len(prompt.token_ids) < tokens:
                break
    raise ValueError(f"no text of the bundled suites makes a prompt of {tokens} tokens")


def sentences(count: int) -> list[str]:
    """Different sentences of the bundled suites: all of everyday-en-de, then those of briefs-en."""
    found = dict.fromkeys(e.source for e in load_suite("everyday-en-de").examples)
    for example in load_suite("briefs-en").examples:
        for text in (example.source, *example.references):
            found |= dict.fromkeys(
                part.strip() for part in text.replace("\n", " ").split(". ") if len(part) > 20
            )
    if len(found) < count:
        raise ValueError(f"the bundled suites have {len(found)} sentences, fewer than {count}")
    return list(found)[:count]


def ids(loaded: LoadedSystem, texts: Sequence[str], sampling: Sampling, batch: int) -> list[tuple[int, ...]]:
    """What the system writes, `batch` texts at once."""
    found: list[tuple[int, ...]] = []
    for start in range(0, len(texts), batch):
        answers = measure_answers(loaded, TASK, texts[start : start + batch], sampling)
        found += [made.token_ids for made in answers]
    return found


def differing(one: Sequence[tuple[int, ...]], other: Sequence[tuple[int, ...]]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))
