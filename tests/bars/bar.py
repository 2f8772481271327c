"""One line of the table, and what the measurements share."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hybrid.engines.contract import EngineConfig, LoadedSystem
from hybrid.engines.registry import create_engines
from hybrid.measuring.answers import measure_answers, warm_up
from hybrid.models.prompts import TextCodec
from hybrid.models.sources import Source
from hybrid.schema import Generation, Sampling, System
from hybrid.suites import load_suite

TASK = "translate-en-de"


@dataclass(frozen=True)
class Bar:
    """What is claimed, what was measured, and whether that will do."""

    claim: str
    result: str
    met: bool


Measured = Iterator[Bar]


def engines(
    source: Source, methods_by_engine: Mapping[str, Sequence[str]], **options: str
) -> dict[str, LoadedSystem]:
    """By METHOD@ENGINE, for each engine's name the methods that are wanted of it; one thread."""
    systems: dict[str, LoadedSystem] = {}
    for name, methods in methods_by_engine.items():
        engines_by_method = create_engines(
            name, EngineConfig(source, tuple(methods), dtype="", options=options)
        )
        for method, engine in engines_by_method.items():
            system = System(method, name)
            systems[system] = LoadedSystem(system=system, engine=engine, codec=source.codec(method))
    return systems


def interleaved(
    contestants: Mapping[str, LoadedSystem], texts: Sequence[str], sampling: Sampling, rounds: int
) -> dict[str, list[Generation]]:
    """Every engine's answers to each text by itself, in turn, `rounds` times after one that is dropped."""
    answers: dict[str, list[Generation]] = {name: [] for name in contestants}
    for engine in contestants.values():
        for text in (max(texts, key=len), texts[0]):
            warm_up(engine, TASK, [text], sampling.max_new_tokens)
    for number in range(rounds):
        for text in texts:
            names = list(contestants)
            first = number % len(names)
            for name in names[first:] + names[:first]:
                answers[name] += measure_answers(contestants[name], TASK, [text], sampling)
    return answers


def ratio(
    of: Sequence[Generation], over: Sequence[Generation], value: Callable[[Generation], float | None]
) -> float:
    """The median of paired ratios."""
    return statistics.median(value(a) / value(b) for a, b in zip(of, over, strict=True))  # type: ignore[operator]


def total_s(answer: Generation) -> float:
    return answer.timing.total_s


def tpot_s(answer: Generation) -> float | None:
    return answer.timing.tpot_s


def prompt_of(source: Source, tokens: int) -> str:
    """A text of the bundled suites that makes a prompt of exactly so many tokens, cut after a word."""
    codec = TextCodec(source.codec("llm").reader, 10**6)
    texts = [e.source for name in ("everyday-en-de@1", "briefs-en@1") for e in load_suite(name).examples]
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
    unique = dict.fromkeys(e.source for e in load_suite("everyday-en-de@1").examples)
    for example in load_suite("briefs-en@1").examples:
        for text in (example.source, *example.references):
            unique |= dict.fromkeys(
                part.strip() for part in text.replace("\n", " ").split(". ") if len(part) > 20
            )
    if len(unique) < count:
        raise ValueError(f"the bundled suites have {len(unique)} sentences, fewer than {count}")
    return list(unique)[:count]


def ids(loaded: LoadedSystem, texts: Sequence[str], sampling: Sampling, batch: int) -> list[tuple[int, ...]]:
    """What the system writes, `batch` texts at once."""
    written: list[tuple[int, ...]] = []
    for start in range(0, len(texts), batch):
        answers = measure_answers(loaded, TASK, texts[start : start + batch], sampling)
        written += [answer.token_ids for answer in answers]
    return written


def differing(first: Sequence[tuple[int, ...]], second: Sequence[tuple[int, ...]]) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))
