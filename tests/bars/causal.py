"""`python -m tests.bars.causal PAIR`: a decoder-only LLM in 8 bits, beside its peers and beside float32.

One thread, one process, engines in turn: the time of a token and of a prompt's token over those of
CTranslate2 and llama.cpp, and how often the 8-bit LLM chooses the id that float32 chose, with the answers
of float32 before it. A pair of two references will do, `hybrid pairs add NAME --llm REF --slm REF`.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence

import torch
from rich.console import Console

from hybrid.engines.contract import LoadedSystem
from hybrid.engines.onnx.engine import OnnxEngine
from hybrid.engines.registry import unavailable_reason
from hybrid.measuring.lock import measuring
from hybrid.models.sources import Source, ZooSource
from hybrid.schema import CPU, Generation, Sampling
from hybrid.suites import load_suite
from tests.bars.bar import Bar, engines, interleaved, prompt_of, ratio, tpot_s

OWN, PEERS = "onnx", ("ctranslate2", "llama.cpp", "llama.cpp-q4")
NEW = 32
TOKENS = (64, 256)  # of a prompt
MOST = {"ctranslate2": 0.9, "llama.cpp": 0.8, "llama.cpp-q4": 0.8}
LEAST_AGREEMENT = 0.98


def main() -> int:
    """Measure, print each bar as soon as it is known, and return 1 when one is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bars.causal", description=main.__doc__)
    parser.add_argument("pair", help="whose LLM is decoder-only")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--examples", type=int, default=40, help="of each bundled suite, for the agreement")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source, console, bars = ZooSource(arguments.pair), Console(soft_wrap=True), list[Bar]()
    with measuring("bars", "the bars of decoder-only models", 0.0):
        for bar in (*agreement(source, arguments.examples), *speed(source, arguments.rounds)):
            console.print(f"{'met   ' if bar.met else 'MISSED'}  {bar.claim}: {bar.result}", markup=False)
            bars.append(bar)
    return 0 if all(bar.met for bar in bars) else 1


def speed(source: Source, rounds: int) -> Iterator[Bar]:
    """Medians of paired ratios: of a token after the first, and of the time to the first."""
    peers = [name for name in PEERS if unavailable_reason(name, CPU) is None]
    systems = engines(source, dict.fromkeys((OWN, *peers), ("llm",)))
    for tokens in TOKENS:
        answers = interleaved(systems, [prompt_of(source, tokens)], Sampling(NEW, ignore_eos=True), rounds)
        own = answers[f"llm@{OWN}"]
        yield Bar(f"{OWN} at {tokens} prompt tokens", _absolute(own, tokens), True)
        for name in peers:
            other = answers[f"llm@{name}"]
            quotient, first = ratio(own, other, tpot_s), ratio(own, other, _first_s)
            claim = f"per token ≤ {MOST[name]} × {name} at {tokens} prompt tokens"
            result = f"{quotient:.2f} ×; prompt {first:.2f} ×; it takes {_absolute(other, tokens)}"
            yield Bar(claim, result, quotient <= MOST[name])


def _absolute(answers: Sequence[Generation], tokens: int) -> str:
    """The best of each, in words: what disturbs a measurement only adds to it."""
    per_token = min(answer.timing.tpot_s or 0.0 for answer in answers)
    return (
        f"{1000 * per_token:.1f} ms a token, {1000 * min(map(_first_s, answers)) / tokens:.2f} a prompt token"
    )


def _first_s(answer: Generation) -> float:
    return answer.timing.ttft_s


def agreement(source: Source, examples: int) -> Iterator[Bar]:
    """Of each suite's task: the share of float32's ids that 8 bits choose, too, float32's own before each."""
    systems = engines(source, {"onnx-fp32": ("llm",), OWN: ("llm",)})
    for name in ("everyday-en-de@1", "briefs-en@1"):
        suite = load_suite(name)
        texts = [example.source for example in suite.examples[:examples]]
        share, count = _share(systems, suite.task, texts)
        claim = f"8 bits agree with float32 in ≥ {LEAST_AGREEMENT:.0%} of ids, {suite.task}"
        yield Bar(claim, f"{share:.2%} of {count}", share >= LEAST_AGREEMENT)


def _share(systems: Mapping[str, LoadedSystem], task: str, texts: Sequence[str]) -> tuple[float, int]:
    exact, rounded = (systems[f"llm@{name}"] for name in ("onnx-fp32", OWN))
    assert isinstance(rounded.engine, OnnxEngine)
    strategy = rounded.engine.strategy
    alike = count = 0
    for prompt in exact.codec.encode(task, texts):
        steps = exact.engine.generate([prompt], Sampling(NEW))
        ids = [token for step in steps for row in step.token_ids for token in row]
        strategy.decoder.prefill(strategy.encoder([prompt.token_ids]), len(ids))
        before = [strategy.decoder.start, *ids[:-1]]
        chosen = [strategy.decoder.verify([token], place)[0] for place, token in enumerate(before)]
        alike += sum(a == b for a, b in zip(chosen, ids, strict=True))
        count += len(ids)
    return alike / count, count


if __name__ == "__main__":
    sys.exit(main())
