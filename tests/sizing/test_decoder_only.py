"""What decoder-only models cost in an engine that computes them by themselves."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.models.known_shapes import find_shape
from hybrid.models.shapes import Shape
from hybrid.schema import CPU
from hybrid.sizing import (
    Costs,
    Pair,
    Profile,
    Request,
    beyond,
    error_report,
    load_profile,
    predict,
    predicted,
    save_profile,
)
from hybrid.sizing import decoder_only as measuring
from hybrid.sizing.calibration import CalibrationShape, CalibrationSize, measured_profile
from hybrid.sizing.cost_features import encode_features, head_features, step_features
from hybrid.sizing.decoder_only import SHAPES, DecoderOnlySample, fitted_decoder_only, with_decoder_only
from hybrid.sizing.grid import measure_cells
from hybrid.sizing.profile import DecoderOnlyCosts
from hybrid.store.grids import StoredGrid
from tests.sizing.made_up import grid_of

ORDER = {"device": CPU, "dtype": "int8", "threads": 1}
SIZES = ((1, 32), (1, 512), (8, 32))
READ, PROMPT = (
    tuple(Costs(batch, tokens, {"weights": each * batch * tokens}) for batch, tokens in SIZES)
    for each in (2e-11, 5e-11)
)
STEP = (Costs(1, 0, {"layers": 1e-5, "weights": 1e-10}), Costs(8, 0, {"layers": 1e-5, "weights": 3e-10}))
APART = DecoderOnlyCosts(READ, PROMPT, STEP)
LLAMA, ASKED = find_shape("smollm2-135m"), Request(32, 12)


@pytest.fixture
def profile(made_up) -> Profile:
    return made_up(engine="onnx", dtype="int8", decoder_only=APART)


def test_a_reader_a_prompt_and_a_step_cost_what_they_do(profile: Profile) -> None:
    methods = predict(Pair(replace(LLAMA, read_layers=(20,)), find_shape("t5-small")), ASKED, profile)
    read, llm = methods["hybrid"].phases["encode"], methods["llm"].phases
    terms = encode_features(LLAMA, 1, 32)
    assert read == pytest.approx(2 / 3 * 2e-11 * 32 * terms["weights"])
    head = 1e-10 * head_features(LLAMA)["weights"]
    assert llm["prefill"] == pytest.approx(5e-11 * 32 * terms["weights"] + head)
    step = step_features(LLAMA, 0)
    assert llm["decode"] == pytest.approx(11 * (1e-5 * step["layers"] + 1e-10 * step["weights"]))


def test_a_t5_costs_what_it_did(profile: Profile) -> None:
    pair = Pair(find_shape("t5-base"), find_shape("t5-small"))
    assert predict(pair, ASKED, profile) == predict(pair, ASKED, replace(profile, decoder_only=None))


def test_a_decoder_only_slm_reads_what_is_fused_as_its_own_prompt(profile: Profile) -> None:
    hybrid = predicted("hybrid", Pair(find_shape("t5-base"), LLAMA), ASKED, profile)
    alone = predicted("slm", Pair(find_shape("t5-base"), LLAMA), ASKED, profile)
    assert hybrid.phases["prefill"] == alone.phases["prefill"]
    assert hybrid.phases["decode"] == alone.phases["decode"]


def test_the_costs_are_found_again() -> None:
    def sample(shape: Shape, visit: CalibrationSize) -> DecoderOnlySample:
        terms, batch = encode_features(shape, visit.batch, visit.prompt), visit.batch
        rows = visit.batch * visit.prompt
        step = Costs(batch, 0, {"fixed": 1e-5, "layers": 2e-5, "weights": 1e-10 * batch})
        head = step.of(head_features(shape))
        taken = step.of(step_features(shape, visit.prompt + 1 + (visit.steps + 1) / 2))
        read = 1e-4 + 2e-12 * rows * terms["weights"] + 1e-9 * terms["elements"]
        return DecoderOnlySample(shape, visit, read, 3 * read + head, taken if visit.steps else None)

    costs = fitted_decoder_only([sample(rung.shape, visit) for rung in SHAPES for visit in rung.visits])
    for visit in (CalibrationSize(1, 32, 12), CalibrationSize(1, 128, 12), CalibrationSize(8, 32, 12)):
        truth, size = sample(LLAMA, visit), (visit.batch, visit.prompt)
        terms = encode_features(LLAMA, *size)
        read, prompt = (
            next(c for c in part if (c.batch, c.tokens) == size) for part in (costs.read, costs.prompt)
        )
        step = next(c for c in costs.step if c.batch == visit.batch)
        assert read.of(terms) == pytest.approx(truth.read, rel=0.02)
        assert prompt.of(terms) == pytest.approx(3 * truth.read, rel=0.02)
        assert step.of(step_features(LLAMA, 39.5)) == pytest.approx(truth.step, rel=0.02)


def test_an_engine_without_kernels_of_their_own_is_left_as_it_is(made_up) -> None:
    assert with_decoder_only(made_up(), ORDER) == made_up()


def test_what_is_measured_is_stored(made_up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = (CalibrationSize(1, 8, 4), CalibrationSize(1, 16, 0), CalibrationSize(2, 8, 4))
    rungs = [CalibrationShape(replace(SHAPES[n].shape, vocabulary=600), visits) for n in (0, 1)]
    monkeypatch.setattr(measuring, "SHAPES", tuple(rungs))
    monkeypatch.setattr(measuring, "ENOUGH_S", 0.0)
    sentences: list[str] = []
    plain = made_up(engine="onnx", dtype="int8")
    profile = with_decoder_only(plain, ORDER, lambda event: sentences.append(event.sentence))
    assert sentences[0] == "Measuring onnx on decoder-only models of 128 columns, 1 of 2"
    assert profile.decoder_only is not None
    assert profile.shapes == plain.shapes + 2
    assert profile.took_s > plain.took_s
    costs = profile.decoder_only
    assert [(at.batch, at.tokens) for at in costs.read] == [(1, 8), (1, 16), (2, 8)]
    assert [(at.batch, at.tokens) for at in costs.step] == [(1, 0), (2, 0)]
    save_profile(profile, tmp_path)
    assert load_profile("made-up", tmp_path) == profile
    save_profile(replace(profile, decoder_only=replace(costs, step=())), tmp_path)
    with pytest.raises(StoreError, match="sizes of step are"):
        load_profile("made-up", tmp_path)


def test_a_profile_that_was_measured_without_them_promises_nothing_of_them(profile: Profile, made_up) -> None:
    llama, t5 = Pair(LLAMA, find_shape("t5-small")), Pair(find_shape("t5-base"), find_shape("t5-small"))
    without = replace(profile, decoder_only=None)
    assert "smollm2-135m is decoder-only, which onnx computes" in beyond(without, ASKED, llama)
    assert not beyond(without, ASKED, t5)
    assert not beyond(profile, ASKED, llama)
    assert not beyond(made_up(), ASKED, llama)  # torch computes all alike


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_predictions_of_a_hybrid_that_reads_a_middle_layer() -> None:
    """The bars: of requests half within 15 % and nine tenths within 35 %, as for any other pair."""
    begun = time.perf_counter()
    profile = with_decoder_only(measured_profile("here", "onnx", ORDER), ORDER)
    took_s = time.perf_counter() - begun
    cells = []
    for read in ("", "@10", "@20", "@10+20"):
        pair = Pair(find_shape(f"smollm2-135m{read}"), find_shape("t5-small"))
        grid = grid_of(pair, profile, batches=(1,), prompts=(32, 128, 384), outputs=(24,), repeats=3)
        stored = StoredGrid(grid, tuple(c for group in measure_cells(grid) for c in group), ())
        report = error_report(stored, profile)
        assert report is not None
        print(f"{took_s:.1f} s; {read or 'whole'}: {report}")  # noqa: T201  # figures for whoever runs it
        cells.append(report)
    assert took_s < 60
    assert max(report.total.median for report in cells) <= 0.15
    assert max(report.total.p90 for report in cells) <= 0.35
