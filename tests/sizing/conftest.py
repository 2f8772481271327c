"""What tests of sizes share: small shapes, grids, engines that only pretend, a profile of round numbers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.models.shapes import Shape
from hybrid.schema import CPU, EncodedPrompt, Grid, Sampling, Step
from hybrid.sizing import Pair, Profile
from tests.environments import made_environment
from tests.sizing.made_up import made_up_profile, shape

ENVIRONMENT = made_environment(code="", packages={})


def _made_up_shape(name: str, width: int, **sizes: Any) -> Shape:
    own: dict[str, Any] = {
        "family": "t5", "d_model": width, "d_ff": 2 * width, "heads": 2, "d_kv": width // 2,
        "encoder_layers": 2, "decoder_layers": 2, "vocabulary": 300, "feed_forward": "gated-gelu",
        "tied_head": True, "positions": None, "parameters": 0, "source": "made up",
    }  # fmt: skip
    shape = Shape(name, **own | sizes)
    return replace(shape, parameters=shape.encoder_parameters + shape.decoder_parameters)


SHAPES = {
    shape.name: shape
    for shape in (
        _made_up_shape("large", 64),
        _made_up_shape("larger", 96, vocabulary=400),
        _made_up_shape("small", 32),
        _made_up_shape("tiny", 16, vocabulary=250),
        _made_up_shape("bart", 32, family="bart", feed_forward="gelu", positions=40),
    )
}


@pytest.fixture
def grid_shapes() -> Mapping[str, Shape]:
    """Shapes that grid() knows: two LLMs, three SLMs, one of them a BART with 40 positions."""
    return SHAPES


@pytest.fixture
def grid() -> Callable[..., Grid]:
    """grid(llms=..., outputs=..., ...): one LLM with two SLMs at a single size, unless told otherwise."""

    def make(**more: Any) -> Grid:
        own: dict[str, Any] = {
            "llms": ("large",), "slms": ("small", "tiny"), "methods": ("llm", "slm", "hybrid"),
            "batches": (1,), "prompts": (8,), "outputs": (4,), "repeats": 3, "engine": "torch",
            "device": CPU, "dtype": "float32", "threads": 1, "environment": ENVIRONMENT,
            "created_at": "2026-11-23T01:45:12+00:00",
        }  # fmt: skip
        own |= more
        names = dict.fromkeys((*own["llms"], *own["slms"]))
        return Grid(grid_id="20261123-a-grid", **own, shapes={name: asdict(SHAPES[name]) for name in names})

    return make


class Pretender:
    """An engine that writes the id 5 and notes what it is asked."""

    synchronize = None

    def __init__(self, config: EngineConfig, method: str, log: list[tuple[Any, ...]], short: int) -> None:
        self.method, self._source, self._log, self._short = method, config.source, log, short
        self.options = {"made": "up"}

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        batch, count = len(prompts), sampling.max_new_tokens - self._short
        ids = tuple(prompt.token_ids for prompt in prompts)
        self._log.append((self.method, self._source.name, batch, len(ids[0]), count, ids))
        yield Step("prefill", ((5,),) * batch)
        for _ in range(count - 1):
            yield Step("verify", ((5,),) * batch, drafted=(2,) * batch, accepted=(1,) * batch)


class Workshop:
    """Makes Pretenders. log: every answer that was asked for. orders: source and methods of what was made."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.orders: list[tuple[str, tuple[str, ...]]] = []
        self.short = 0  # tokens that an answer lacks

    def make(self, name: str, config: EngineConfig) -> Mapping[str, Engine]:
        self.orders.append((config.source.name, config.methods))
        return {method: Pretender(config, method, self.log, self.short) for method in config.methods}

    @property
    def measured(self) -> list[tuple[Any, ...]]:
        """The log in short: method, source, batch, prompt, output."""
        return [entry[:5] for entry in self.log]


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def clock() -> Callable[[], float]:
    """A clock that is a quarter of a second later whenever it is read."""
    now = 0.0

    def read() -> float:
        nonlocal now
        now += 0.25
        return now

    return read


@pytest.fixture(scope="session")
def pair() -> Pair:
    return Pair(shape("large", 512, 1024, 8, 12), shape("small", 128, 256, 2, 2))


@pytest.fixture(scope="session")
def shapes() -> Callable[..., Shape]:
    """shapes(name, width, inner, heads, layers, vocabulary=1000): a T5 of these sizes."""
    return shape


@pytest.fixture(scope="session")
def made_up() -> Callable[..., Profile]:
    """made_up(**changes): a profile of a machine that is not there, with costs that tests can follow."""
    return made_up_profile
