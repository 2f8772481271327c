"""Sessions and their memory: huge pages change no value, and are done without where there are none."""

from pathlib import Path

import numpy as np
import pytest

from hybrid.engines.onnx import runtime
from hybrid.engines.onnx.graph import GraphBuilder
from hybrid.engines.onnx.runtime import HUGE_PAGE, create_session


def test_memory_keeps_its_values_in_huge_pages():
    values = np.arange(3 * HUGE_PAGE // 4, dtype=np.float32)
    first = values.ctypes.data
    runtime._use_huge_pages(first, first + values.nbytes)
    runtime._use_huge_pages(first + 1, first + 2)  # less than a page
    np.testing.assert_array_equal(values, np.arange(len(values), dtype=np.float32))


def test_sessions_do_without_where_memory_is_not_listed(monkeypatch):
    def refuse(*_):
        raise FileNotFoundError("/proc/self/maps")

    graph = GraphBuilder("float32")
    x = graph.input("x", np.float32, ("N",))
    graph.op("Add", x, graph.weight(np.ones(1, np.float32)), name=graph.output("y", np.float32, ("N",)))
    built = graph.build({})
    monkeypatch.setattr(Path, "read_text", refuse)
    (y,) = create_session(built, 1).run(["y"], {"x": np.zeros(2, np.float32)})
    assert y.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("areas", "new"),
    [
        ([(10, 20)], []),
        ([(5, 25)], [(5, 10), (20, 25)]),  # it grew on either side
        ([(0, 40)], [(0, 10), (20, 30)]),  # two became one
        ([(12, 35)], [(20, 30)]),
        ([(2, 4), (50, 60)], [(2, 4), (50, 60)]),
    ],
)
def test_of_an_area_that_grew_only_the_new_part_is_a_sessions(
    areas: list[tuple[int, int]], new: list[tuple[int, int]]
) -> None:
    assert list(runtime._outside(areas, [(10, 20), (30, 40)])) == new
