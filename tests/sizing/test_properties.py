"""What holds whatever is asked: times are positive, finite, above the bound, and more never takes less."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import InputError
from hybrid.models.arithmetic import decode_bytes, encode_flops
from hybrid.models.known_shapes import find_shape
from hybrid.models.shapes import Shape
from hybrid.schema import MODELS, Device
from hybrid.sizing import Costs, Pair, Predicted, Profile, Request, beyond, predict, predicted
from tests.any_machine import STEADY
from tests.sizing.made_up import made_up_profile, shape

SMALL = shape("small", 128, 256, 2, 2)
RATES = ((1.0, 5e9), (32.0, 4e10), (512.0, 7e10))


def crooked(costs: Sequence[Costs], rng: Random) -> tuple[Costs, ...]:
    """Costs as a noisy machine gives them: some are 0, and none follows from its neighbour."""
    return tuple(
        replace(cost, seconds={
            name: seconds * rng.choice((0, 1, 7))
            for name, seconds in {**cost.seconds, "uncached": 3e-10}.items()
        })
        for cost in costs
    )  # fmt: skip


def profile_of(seed: int) -> Profile:
    plain, rng = made_up_profile(engine="onnx", dtype="int8"), Random(seed)
    machine = replace(plain.machine, rates=RATES)
    phases = {name: crooked(getattr(plain, name), rng) for name in ("encode", "prefill", "step")}
    return replace(plain, machine=machine, **phases)


PROFILES = tuple(map(profile_of, range(8)))
REQUESTS = st.builds(
    Request, prompt=st.integers(1, 100_000), output=st.integers(1, 10_000), batch=st.integers(1, 512)
)
SIZES = st.fixed_dictionaries({
    "width": st.integers(8, 8192), "inner": st.integers(8, 65536), "heads": st.integers(1, 128),
    "layers": st.integers(1, 96), "vocabulary": st.integers(8, 300_000),
})  # fmt: skip
MORE = st.integers(0, 5000)
BOUNDED = settings(STEADY, max_examples=120)


def check(prediction: Predicted, request: Request, pair: Pair, profile: Profile) -> None:
    """Raise AssertionError for times that cannot be."""
    llm, slm = pair.llm, pair.slm
    assert 0 < prediction.total_s < 1e12
    assert min(prediction.phases.values()) >= 0
    reader, writer = (
        (slm if prediction.method == "slm" else llm),
        (llm if prediction.method == "llm" else slm),
    )
    assert prediction.phases["encode"] >= 0.999 * request.batch * encode_flops(reader, request.prompt) / peak(
        profile
    )
    each = decode_bytes(writer, profile.dtype) / 4e10  # the fastest cache
    assert prediction.phases["decode"] >= 0.999 * (request.output - 1) * each


def peak(profile: Profile) -> float:
    """Operations per second that were reached, or that shorter numbers could."""
    timed = 4 * max(rate for _, rate in profile.machine.rates)
    weights = [(costs.batch * costs.tokens, costs.seconds["weights"]) for costs in profile.encode]
    return max([timed, *(2 * rows / seconds for rows, seconds in weights if seconds)])


@BOUNDED
@given(st.sampled_from(PROFILES), SIZES, REQUESTS)
def test_times_are_positive_finite_and_above_the_bound(profile, sizes, request) -> None:
    pair = Pair(shape("one", **sizes), SMALL)
    for method in MODELS:
        check(predicted(method, pair, request, profile), request, pair, profile)


@BOUNDED
@given(st.sampled_from(PROFILES), SIZES, REQUESTS, st.tuples(MORE, MORE, MORE))
def test_longer_and_more_never_take_less(profile, sizes, request, more) -> None:
    pair = Pair(shape("one", **sizes), SMALL)
    larger = Request(request.prompt + more[0], request.output + more[1], request.batch + more[2] % 64)
    for method in MODELS:
        less, greater = (predicted(method, pair, size, profile) for size in (request, larger))
        for phase, seconds in less.phases.items():
            assert seconds <= greater.phases[phase] * (1 + 1e-9)


@BOUNDED
@given(st.sampled_from(PROFILES), SIZES, SIZES, REQUESTS)
def test_larger_models_never_take_less(profile, sizes, more, request) -> None:
    smaller = shape("one", **sizes)
    larger = shape("other", **{name: value + more[name] // 8 for name, value in sizes.items()})
    for less, greater in (
        (Pair(smaller, SMALL), Pair(larger, SMALL)),
        (Pair(SMALL, smaller), Pair(SMALL, larger)),
    ):
        for method in MODELS:
            few, many = (predicted(method, pair, request, profile) for pair in (less, greater))
            for phase, seconds in few.phases.items():
                assert seconds <= many.phases[phase] * (1 + 1e-9)


def large() -> Shape:
    return find_shape("t5-large")


@pytest.mark.parametrize(
    ("size", "outside"),
    [
        (Request(32, 64), ""),
        (Request(512, 512, 8), ""),
        (Request(8192, 64), "prompts of 32 to 512 tokens"),
        (Request(16, 64), "prompts of 32 to 512 tokens"),
        (Request(32, 64, 9), "batches of 1 to 8"),
        (Request(512, 600), "prompts and answers of less than 1,024 tokens together"),
        (Request(1, 1, 512), "batches of 1 to 8 and prompts of 32 to 512 tokens"),
    ],
)
def test_what_is_extrapolated_is_said(size: Request, outside: str) -> None:
    expected = outside and (
        f"Extrapolated: the profile was measured with {outside}; what lies beyond follows from operations "
        "and bytes, and no error is promised for it."
    )
    assert beyond(made_up_profile(), size) == expected


def test_long_prompts_cost_more_than_in_proportion() -> None:
    """Attention is quadratic in the prompt, even where small models have told nothing of it."""
    at = {
        prompt: predicted("llm", Pair(large(), SMALL), Request(prompt, 1), made_up_profile()).phases["encode"]
        for prompt in (512, 8192, 16384)
    }
    assert at[8192] > 16 * at[512]
    assert at[16384] > 2.3 * at[8192]


@pytest.mark.parametrize(
    ("engine", "device", "able"),
    [
        (
            "onnx",
            "cpu",
            "torch, transformers, transformers-int8, ctranslate2 and ctranslate2-fp32 can: `hybrid device ",
        ),
        ("cuda-graph", "cuda", "torch and transformers can: `hybrid device --device cuda "),
    ],
)
def test_models_that_the_engine_cannot_run_are_refused(engine: str, device: str, able: str) -> None:
    pair, profile = (
        Pair(find_shape("bart-base"), SMALL),
        made_up_profile(engine=engine, device=Device(device)),
    )
    with pytest.raises(InputError) as refused:
        predict(pair, Request(32, 8), profile)
    assert str(refused.value) == (
        f"bart-base is of the family bart, which the engine {engine} does not run; {able}"
        "--engine torch` measures a profile for it."
    )
    assert predict(pair, Request(32, 8), made_up_profile(engine="torch"))
