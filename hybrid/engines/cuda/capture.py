"""Work on static buffers, captured once in a CUDA graph and replayed; on the CPU it is simply run again.

Captured work uses memory that stays where it is and never waits for the host: no
sizes, branches or copies to it depend on what is computed.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch

Work = Callable[[], None]
WARM_UPS = 2  # before a capture: kernels are compiled and chosen, libraries take their memory


class GraphCapturer:
    """Captures for one device. All its graphs share one pool for what they hold only while they run.

    Sharing is safe as they run one after another, and as what one leaves for
    another stands in memory that was taken outside of captures.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            # One stream for all: cuBLAS takes its workspace once per stream.
            self._stream = torch.cuda.Stream(device)
            self._pool = torch.cuda.graph_pool_handle()

    def capture(self, work: Work, warm_ups: int = WARM_UPS) -> Work:
        """Capture `work`; what is returned replays it. On a GPU it is run a few times before.

        A graph knows addresses only, so what is returned keeps `work` and with it
        the tensors that are read there. warm_ups: 0 for what is made of captured
        parts. Raises what `work` raises, and RuntimeError when it cannot be captured.
        """
        if self.device.type != "cuda":
            return work
        with self.on_device(), _uncollected():
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                for _ in range(warm_ups):
                    work()
            graph = torch.cuda.CUDAGraph()
            # Other threads, such as a page's, may go on using the device meanwhile.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                work()
            current.wait_stream(self._stream)
        return partial(_replay, graph, work)

    def seconds(self, work: Work, restart: Work, times: int = 20) -> float:
        """Time one of `times` replays in a row; restart: undoes them."""
        replay = self.capture(work)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        for _ in range(2):  # the first warms up
            restart()
            begin.record()
            for _ in range(times):
                replay()
            end.record()
            end.synchronize()
        milliseconds: float = begin.elapsed_time(end)
        return milliseconds / 1000 / times

    def on_device(self) -> AbstractContextManager[object]:
        """Make the device the current one: Triton launches there, whatever its arguments are on."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()


def _replay(graph: torch.cuda.CUDAGraph, work: Work) -> None:
    graph.replay()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause Python's collector: freeing device memory is not allowed while a graph is captured."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
