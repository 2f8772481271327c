"""What the tests on a GPU time with."""

import statistics
from collections.abc import Callable

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from hybrid.engines.cuda.engine import CudaGraphEngine
from hybrid.engines.cuda.kernel_selector import HOPPER, KERNELS


def best_kernel() -> str:
    return KERNELS[0] if torch.cuda.get_device_capability() >= HOPPER else KERNELS[1]


def captured(engine: CudaGraphEngine, batch: int, length: int, new: int) -> tuple[float, float]:
    """Milliseconds of what reads the prompts, and of each id after the first of `new`."""
    with torch.inference_mode():
        request = engine._captured([[7] * length] * batch, new)
        assert request is not None, engine.notices
        graphs = request.graphs[engine.method]
        encoder, decoder = graphs.prompts, graphs.decoder
        rows = dict.fromkeys(range(batch), decoder.start)

        def first() -> None:
            decoder.prefill(encoder.states, new)
            decoder.extend(rows, 0, 1, ())

        def rest() -> None:
            first()
            position = 1
            while position < new:
                position += len(decoder.extend(rows, position, new - position, ())[0])

        rest_of_answer = milliseconds(rest, 10) - milliseconds(first, 10)
        return milliseconds(encoder.replay), rest_of_answer / (new - 1)


def generated(model, ids: torch.Tensor) -> float:
    """Milliseconds of transformers' generate() for each id after the first."""

    def ask(count: int) -> Callable[[], object]:
        settings = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
        return lambda: model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)

    return (milliseconds(ask(33), 3) - milliseconds(ask(1), 3)) / 32


def milliseconds(work: Callable[[], object], rounds: int = 20) -> float:
    """The median of what `work` takes on the GPU, after two that are dropped."""
    times = []
    for _ in range(rounds + 2):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times[2:])


def show(title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table for whoever runs this with -s."""
    table = Table(*heads, title=title, box=box.MARKDOWN)
    for row in rows:
        table.add_row(*row)
    Console(width=180).print(table)
