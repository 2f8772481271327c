"""A grid as a stream of cells."""

import dataclasses
import gc
import itertools
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.registry import create_engines
from hybrid.errors import EngineError, MeasurementError
from hybrid.models.shapes import Shape
from hybrid.schema import CPU, Cell, Device, Grid, silent
from hybrid.schema.grids import planned
from hybrid.sizing import grid as measuring
from hybrid.sizing.grid import measure_cells, probed_engine

Workshop = Any  # see conftest.py


def cells(grid: Grid, workshop: Workshop, **more: Any) -> list[Cell]:
    return [cell for group in measure_cells(grid, make=workshop.make, **more) for cell in group]


def test_methods_take_turns_after_a_warm_up(grid: Callable[..., Grid], workshop: Workshop) -> None:
    measured = cells(grid(slms=("small",)), workshop)
    pair = "large+small"
    llm, slm, hybrid = ((method, pair, 1, 8, 4) for method in ("llm", "slm", "hybrid"))
    warm_up = [llm, slm, hybrid]
    assert workshop.measured == [*warm_up, llm, slm, hybrid, slm, hybrid, llm, hybrid, llm, slm]
    assert [(cell.method, cell.llm, cell.slm) for cell in measured] == [
        ("llm", "large", None), ("slm", None, "small"), ("hybrid", "large", "small"),
    ]  # fmt: skip


def test_times_of_every_repeat_are_kept(
    grid: Callable[..., Grid], workshop: Workshop, clock: Callable[[], float]
) -> None:
    (cell,) = cells(grid(methods=("lossless-lookup",), slms=("small",), batches=(1,)), workshop, clock=clock)
    # tokenize, prefill, three more tokens, detokenize: one tick each
    assert cell.phases_s == {
        "tokenize": (0.25,) * 3, "prefill": (0.25,) * 3, "verify": (0.75,) * 3, "detokenize": (0.25,) * 3,
    }  # fmt: skip
    assert (cell.ttft_s, cell.tpot_s, cell.median_total_s) == ((0.5,) * 3, (0.25,) * 3, 1.5)
    assert (cell.drafted, cell.accepted) == ((6,) * 3, (3,) * 3)
    assert cell.options == {"made": "up"}


def test_a_repeat_in_which_the_process_was_stopped_is_measured_again(
    grid: Callable[..., Grid], workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = [0.25, 0.25, 3.0, *[0.25] * 40]  # of the third reading of the clock on: a step of 3 s

    def clock() -> float:
        clock.now += stops.pop(0) if stops else 0.25
        return clock.now

    clock.now = 0.0
    (cell,) = cells(grid(methods=("slm",), slms=("small",), batches=(1,)), workshop, clock=clock)
    assert cell.median_total_s == max(cell.total_s) < 3
    with pytest.raises(MeasurementError, match="slm"):
        cells(
            grid(methods=("slm",), slms=("small",), batches=(1,)),
            workshop,
            clock=itertools.count(0, 3).__next__,
        )


def test_a_single_token_has_no_time_per_token(grid: Callable[..., Grid], workshop: Workshop) -> None:
    (cell,) = cells(grid(methods=("llm",), outputs=(1,)), workshop)
    assert (cell.tpot_s, cell.drafted) == ((), ())


def test_all_participants_read_the_same_prompts(grid: Callable[..., Grid], workshop: Workshop) -> None:
    cells(grid(llms=("large", "larger"), batches=(2,)), workshop)
    texts = [entry[5] for entry in workshop.log]
    assert len(set(texts)) == 4  # the warm-up's and each repeat's
    assert all(len(set(batch)) == 2 for batch in texts)


def test_longest_answers_warm_up_the_others(grid: Callable[..., Grid], workshop: Workshop) -> None:
    cells(grid(methods=("llm",), prompts=(8, 9), outputs=(2, 4), repeats=1), workshop)
    assert [entry[3:5] for entry in workshop.log] == [(8, 4), (8, 4), (8, 2), (9, 4), (9, 4), (9, 2)]


def test_what_is_stored_is_not_measured_again(grid: Callable[..., Grid], workshop: Workshop) -> None:
    large_grid = grid(llms=("large", "larger"), outputs=(2, 4))
    keys = planned(large_grid)
    done = {key for key in keys if key[0] != "hybrid" or key[1] == "large"}
    measured = cells(large_grid, workshop, done=done)
    assert {cell.key for cell in measured} == set(keys) - done
    assert workshop.orders == [("larger+small", ("hybrid",)), ("larger+tiny", ("hybrid",))]


def test_nothing_is_built_when_all_is_stored(grid: Callable[..., Grid], workshop: Workshop) -> None:
    small_grid = grid()
    assert cells(small_grid, workshop, done=planned(small_grid)) == []
    assert workshop.orders == []


def test_every_engine_is_made_once(grid: Callable[..., Grid], workshop: Workshop) -> None:
    measured = cells(grid(llms=("large", "larger"), batches=(1, 2), prompts=(8, 9)), workshop)
    assert len(measured) == len(planned(grid(llms=("large", "larger"), batches=(1, 2), prompts=(8, 9))))
    assert workshop.orders == [
        ("large+small", ("llm", "slm", "hybrid")), ("large+tiny", ("slm", "hybrid")),
        ("larger+small", ("llm", "hybrid")), ("larger+tiny", ("hybrid",)),
    ]  # fmt: skip


def test_models_of_one_llm_are_shared_and_gone_before_the_next(
    grid: Callable[..., Grid], workshop: Workshop
) -> None:
    built: list[tuple[str, weakref.ref[Any]]] = []
    alive: list[list[str]] = []

    def make(name: str, order: Any) -> Any:
        bundle = order.source.bundle(("llm",))
        built.append((order.source.name, weakref.ref(bundle.llm)))
        alive.append([pair for pair, model in built if model() is not None])
        engines = workshop.make(name, order)
        for engine in engines.values():
            engine.bundle = bundle
        return engines

    for _ in measure_cells(grid(llms=("large", "larger"), repeats=1), make=make):
        pass
    assert alive == [
        ["large+small"], ["large+small", "large+tiny"], ["larger+small"], ["larger+small", "larger+tiny"],
    ]  # fmt: skip


def test_hybrids_of_one_llm_read_with_the_same_encoder(grid: Callable[..., Grid], workshop: Workshop) -> None:
    readers: list[set[int]] = []

    def make(name: str, order: Any) -> Any:
        bundle = order.source.bundle(("hybrid",))
        readers.append({p.data_ptr() for p in bundle.hybrid.llm.parameters()})
        return workshop.make(name, order)

    for _ in measure_cells(grid(), make=make):
        pass
    assert readers[0] == readers[1]


def test_collector_rests_while_an_answer_is_made(
    grid: Callable[..., Grid], workshop: Workshop, clock: Callable[[], float]
) -> None:
    states: list[bool] = []

    def watching() -> float:
        states.append(gc.isenabled())
        return clock()

    cells(grid(methods=("llm",)), workshop, clock=watching)
    assert set(states) == {False}
    assert gc.isenabled()


def test_engine_that_writes_another_number_of_tokens(grid: Callable[..., Grid], workshop: Workshop) -> None:
    workshop.short = 1
    with pytest.raises(MeasurementError, match="llm read 8 and wrote 3 tokens where 8 and 4 were asked for"):
        cells(grid(), workshop)


def test_progress_is_told_before_models_are_built(grid: Callable[..., Grid], workshop: Workshop) -> None:
    sentences: list[str] = []
    cells(grid(), workshop, observer=lambda event: sentences.append(event.sentence))
    assert sentences == ["Building large and small", "Building large and tiny"]


@pytest.mark.parametrize("name", ["torch", "transformers"])
@pytest.mark.parametrize("first", ["relu", "gated-gelu"])
def test_real_engines(grid: Callable[..., Grid], name: str, first: str) -> None:
    small_grid = grid(engine=name, batches=(1, 2), repeats=1)
    small_grid.shapes["large"]["feed_forward"] = first  # type: ignore[index]
    measured = [cell for group in measure_cells(small_grid) for cell in group]
    assert [cell.key for cell in measured] == list(planned(small_grid))
    assert all(cell.median_total_s > 0 for cell in measured)
    assert {"project"} == {p for cell in measured for p in cell.phases_s if cell.method == "hybrid"} - {
        p for cell in measured for p in cell.phases_s if cell.method == "llm"
    }


@pytest.mark.parametrize("name", ["torch", "transformers"])
@pytest.mark.parametrize("layers", [(1,), (1, 2)])
def test_a_hybrid_of_a_grid_reads_the_layers_of_its_shape(
    grid: Callable[..., Grid], name: str, layers: tuple[int, ...]
) -> None:
    made = grid(engine=name, slms=("small",), methods=("llm", "hybrid"), repeats=1)
    shapes = {**made.shapes, "large": {**made.shapes["large"], "read_layers": layers}}
    read = []

    def noted(engine: str, config: EngineConfig) -> Mapping[str, Engine]:
        read.extend(config.source.config(m).layer for m in config.methods if m == "hybrid")
        return create_engines(engine, config)

    (cells,) = measure_cells(dataclasses.replace(made, shapes=shapes), make=noted)
    assert [cell.method for cell in cells] == ["llm", "hybrid"]
    assert read == [layers if len(layers) > 1 else layers[0]]


def test_probe_takes_the_hardest_models(
    grid_shapes: Mapping[str, Shape], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[tuple[str, Any]] = []
    read: list[Any] = []

    def best(order: Any) -> tuple[str, dict[str, Any]]:
        bundle = order.source.bundle(("llm", "slm"))
        read.append(order.source.config("hybrid").layer)
        orders.append(
            (order.source.name, [sum(p.numel() for p in m.parameters()) for m in bundle.models.values()])
        )
        return "torch", {}

    monkeypatch.setattr(measuring, "best_engines", best)
    asked_for = ([grid_shapes["large"], grid_shapes["bart"]], [grid_shapes["small"], grid_shapes["tiny"]])
    assert probed_engine(asked_for, {"methods": ("llm",)}, silent) == "torch"
    assert orders[0][0] == "bart+small"
    assert max(orders[0][1]) < 300_000
    several = dataclasses.replace(grid_shapes["large"], read_layers=(1, 2))
    probed_engine(([grid_shapes["large"], several], [grid_shapes["small"]]), {"methods": ("llm",)}, silent)
    assert read[-1] == (1, 2)


def test_bart_comes_to_torch(grid_shapes: Mapping[str, Shape]) -> None:
    sentences: list[str] = []
    order = {"methods": ("llm", "slm", "hybrid"), "device": CPU, "dtype": "", "threads": 1}
    shapes = ([grid_shapes["bart"]], [grid_shapes["small"]])
    assert probed_engine(shapes, order, lambda event: sentences.append(event.sentence)) == "torch"
    assert any("Not the engine onnx" in sentence for sentence in sentences)


def test_probe_fails_as_the_last_engine_does(grid_shapes: Mapping[str, Shape]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    order = {"methods": ("llm",), "device": Device("cuda"), "dtype": "", "threads": 1}
    with pytest.raises(EngineError, match="cuda"):
        probed_engine(([grid_shapes["large"]], [grid_shapes["small"]]), order, lambda _: None)
