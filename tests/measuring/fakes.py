"""A codec, an engine and a clock of known behaviour, and what measures them."""

import time
from collections.abc import Callable, Iterator, Sequence

from hybrid.engines.contract import LoadedSystem
from hybrid.measuring.answers import measure_answers
from hybrid.schema import EncodedPrompt, Sampling, Step, System


class FakeCodec:
    """Prompts of as many ids as a text has words; a text names its ids. encode, decode: done on the way."""

    eos_ids = (1,)

    def __init__(self, encode=lambda: None, decode=lambda: None) -> None:
        self._encode, self._decode = encode, decode

    def encode(self, task: str, texts: Sequence[str], truncate: bool = False) -> tuple[EncodedPrompt, ...]:
        self._encode()
        return tuple(EncodedPrompt((7,) * len(text.split())) for text in texts)

    def decode(self, ids: Sequence[int]) -> str:
        self._decode()
        return " ".join(map(str, ids))


class FakeEngine:
    """Gives the steps that it is made of, whatever it is given."""

    synchronize = None

    def __init__(self, steps: Callable[[], Iterator[Step]] | Sequence[Step], method: str = "hybrid") -> None:
        self._steps, self.method = steps, method
        self.requests: list[tuple[tuple[EncodedPrompt, ...], Sampling]] = []

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        self.requests.append((tuple(prompts), sampling))
        return iter(self._steps() if callable(self._steps) else self._steps)


def measure(
    steps, clock=time.perf_counter, system="hybrid", texts=("five words make a prompt",), codec=None,
    cpu_clock=time.process_time, **more
):  # fmt: skip
    """measure_answers() of an engine that gives these steps."""
    engine = FakeEngine(steps, system)
    for name, value in more.items():
        setattr(engine, name, value)
    loaded = LoadedSystem(system=System(system), engine=engine, codec=codec or FakeCodec())
    return measure_answers(loaded, "summarize", texts, Sampling(9), clock, cpu_clock)


class FakeClock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
