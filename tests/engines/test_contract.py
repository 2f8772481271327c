"""What every engine of the registry does alike, by each of its methods: a new engine gets this for a row."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from hybrid.engines.contract import Engine, EngineConfig, LoadedSystem
from hybrid.engines.cuda import engine as cuda_engine
from hybrid.engines.generation import until
from hybrid.engines.registry import ENGINES, create_engines, default_dtype, unavailable_reason
from hybrid.errors import EngineError
from hybrid.measuring.answers import measure_answers, warm_up
from hybrid.models.bundle import Bundle
from hybrid.schema import CPU, METHODS, PHASES, Device, Sampling, System
from tests.bundle_source import BundleSource
from tests.loaded import encoded, loaded, prompt_ids

# What a method's phases look like, one letter each.
LETTERS = dict(zip(PHASES, "tepPdvDx", strict=True))
ORDER = re.compile(r"e?p?e?d?P[ep]?((dv)*|v*|D*)$")
GRAPHS = "cuda-graph"  # its work is done on the CPU, in float32
NEW = 12


@pytest.fixture(scope="module", params=ENGINES)
def name(request) -> str:
    if request.param != GRAPHS and (reason := unavailable_reason(request.param, CPU)):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="module")
def bundle(name, tiny_bundle, tiny_decoders) -> Bundle:
    """A pair that the engine runs."""
    families = ENGINES[name].families
    return tiny_bundle if families is None or "t5" in families else tiny_decoders


@pytest.fixture(scope="module")
def by_method(name, bundle, dtype) -> Mapping[str, Engine]:
    """The engine for all of its methods."""
    return engines_of(name, bundle, dtype)


def engines_of(name: str, bundle: Bundle, dtype: str) -> Mapping[str, Engine]:
    config = EngineConfig(BundleSource(bundle), ENGINES[name].methods, dtype=dtype)
    if name != GRAPHS:
        return create_engines(name, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_engine, "unavailable_reason", lambda _: None)
        return cuda_engine.create_engines(config)


@pytest.fixture(scope="module")
def dtype(name) -> str:
    return "float32" if name == GRAPHS else default_dtype(name, CPU)


@pytest.fixture(scope="module")
def exact(dtype) -> bool:
    """Whether it computes in float32, so that its ids are those of generate()."""
    return dtype == "float32"


@pytest.fixture(scope="module")
def some(texts) -> list[str]:
    return texts[3::40]


@pytest.fixture(scope="module")
def naturally(by_method, some, answer) -> dict:
    """By method, what each text gives alone."""
    return {
        method: [answer(engine, text, max_new_tokens=NEW) for text in some]
        for method, engine in by_method.items()
    }


def test_it_says_what_a_run_records(name, by_method, dtype):
    assert list(by_method) == list(ENGINES[name].methods)
    for method, engine in by_method.items():
        assert (engine.method, engine.name, engine.device) == (method, name, "cpu")
        assert engine.dtype == dtype
        assert engine.synchronize is None
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in engine.options.items())


def test_ids_are_those_of_generate(exact, naturally, bundle, some, reference, same):
    if not exact:
        pytest.skip("8 bits round otherwise")
    for method, answers in naturally.items():
        model = bundle.model(METHODS[method].models[0])
        for text, generation in zip(some, answers, strict=True):
            prompt = prompt_ids(bundle, text)
            assert same(model, prompt, generation.token_ids, reference(model, [prompt], NEW)[0])


def test_a_batch_gives_what_its_prompts_give_alone(exact, by_method, naturally, bundle, some, answers, same):
    for method, engine in by_method.items():
        if METHODS[method].lossless:
            with pytest.raises(EngineError, match="one prompt at a time"):
                next(engine.generate(encoded(bundle, some[:2]), Sampling(NEW)))
            continue
        together = answers(engine, some, max_new_tokens=NEW)
        model = bundle.model(method)
        for text, generation, alone in zip(some, together, naturally[method], strict=True):
            if exact:
                assert same(model, prompt_ids(bundle, text), generation.token_ids, alone.token_ids)
            assert generation.prompt_tokens == alone.prompt_tokens


def test_steps_come_in_order_and_hold_what_they_bring(by_method, bundle, some):
    for method, engine in by_method.items():
        batch = 1 if METHODS[method].lossless else 3
        steps = list(engine.generate(encoded(bundle, some[:batch]), Sampling(NEW)))
        assert ORDER.match("".join(LETTERS[step.phase] for step in steps))
        assert {len(step.token_ids) for step in steps} <= {0, batch}
        for row in range(batch):
            ids = [token for step in steps if step.token_ids for token in step.token_ids[row]]
            assert 1 <= len(ids) <= NEW
            assert 1 not in ids[:-1]
        for step in steps:
            assert len(step.drafted) == len(step.accepted)
            if step.drafted:
                assert step.phase in ("prefill", "verify")
                assert step.accepted[0] <= step.drafted[0]


def test_the_end_counts_and_can_be_ignored(by_method, naturally, some, answer, exact):
    for method, engine in by_method.items():
        ended = [n for n, generation in enumerate(naturally[method]) if generation.finish_reason == "eos"]
        assert ended or not exact
        for number in ended[:2]:
            text, natural = some[number], naturally[method][number]
            count = len(natural.token_ids)
            assert natural.token_ids[-1] == 1
            if count > 1:
                short = answer(engine, text, max_new_tokens=count - 1)
                assert (len(short.token_ids), short.finish_reason) == (count - 1, "length")
            whole = answer(engine, text, max_new_tokens=count)
            assert (whole.token_ids, whole.finish_reason) == (natural.token_ids, "eos")
            further = answer(engine, text, max_new_tokens=count + 5, ignore_eos=True)
            assert (len(further.token_ids), further.finish_reason) == (count + 5, "length")
            assert further.token_ids[:count] == natural.token_ids or not exact


def test_each_of_several_ids_ends_an_answer(name, naturally, bundle, dtype, exact, some):
    written = Counter(n for rows in naturally.values() for row in rows for n in row.token_ids if n != 1)
    more = [number for number, _ in written.most_common(2)]
    known = {"file": "tokenizer.json", "eos": "</s>", "more_eos_ids": more}
    manifest = bundle.manifest | {"tokenizers": dict.fromkeys(("llm", "slm"), known)}
    other = replace(bundle, manifest=manifest)
    ends = set[int]()
    for method, engine in engines_of(name, other, dtype).items():
        together = [[text] for text in some] if METHODS[method].lossless else [some]
        own = LoadedSystem(system=System(method), engine=engine, codec=other.codec(method))
        rows = [g for texts in together for g in measure_answers(own, "summarize", texts, Sampling(NEW))]
        for row, natural in zip(rows, naturally[method], strict=True):
            expected = until((1, *more), natural.token_ids)
            assert row.token_ids == expected or not exact
            assert row.finish_reason == ("eos" if row.token_ids[-1] in (1, *more) else "length")
            assert row.text == own.codec.decode([n for n in row.token_ids if n not in more])
            ends.add(row.token_ids[-1])
    assert {1, *more} <= ends or not exact


def test_nothing_is_left_of_an_abandoned_generation(by_method, naturally, bundle, some, answer):
    for method, engine in by_method.items():
        abandoned = engine.generate(encoded(bundle, some[-1:]), Sampling(40, ignore_eos=True))
        for _ in range(3):
            next(abandoned)
        abandoned.close()
        if not METHODS[method].lossless:
            together = engine.generate(encoded(bundle, some), Sampling(24))
            for _ in range(8):
                next(together, None)
            together.close()  # some rows may have ended
        warm_up(loaded(engine, bundle), "translate-en-de")
        again = answer(engine, some[0], max_new_tokens=NEW)
        assert again.token_ids == naturally[method][0].token_ids


def test_what_it_does_not_have_is_refused_by_name(name, bundle):
    source, spec = BundleSource(bundle), ENGINES[name]
    for changes, value in (
        ({"dtype": "float8"}, "float8"),
        ({"options": {"colour": "red"}}, "colour"),
        *(({"methods": (method,)}, method) for method in METHODS if method not in spec.methods),
    ):
        device = Device(next(iter(spec.dtypes)))
        settings = {"methods": spec.methods[:1], "dtype": "", "device": device} | changes
        with pytest.raises(EngineError, match=repr(value)):
            create_engines(name, EngineConfig(source, **settings))
