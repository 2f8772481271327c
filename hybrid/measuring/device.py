"""What a device can do at the most: bytes read from its memory and operations on matrices, per second.

Both bound how fast a model answers (the roofline model, Williams et al. 2009,
doi 10.1145/1498765.1498785): a decoding step reads every weight once, and waits
for memory; reading a prompt multiplies matrices with many rows, and waits for
arithmetic. They are measured by the same products that a model is made of,
with weights laid out for that.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import TYPE_CHECKING

from hybrid.errors import EngineError
from hybrid.schema import CPU, Device

if TYPE_CHECKING:
    import torch

# Weights of 8 and 4 bits are measured as float32, and so are 16-bit ones on a CPU: bytes are bytes, and a
# CPU that has to widen them first would be seen computing instead of reading.
_MEASURED_AS = {"int8": "float32", "int4": "float32"}
_MEASURED_AS_ON_CPU = {"bfloat16": "float32", "float16": "float32"}
_STREAM_BYTES = {"cpu": 128 * 2**20, "cuda": 1024 * 2**20}  # far more than any cache
_STREAM_ROWS = 1024  # of the matrix that is streamed: its rows are long
_WORKING_SETS = {
    "cpu": tuple(2**20 * n for n in (1, 2, 4, 8, 12, 16, 24, 32, 64)),
    "cuda": tuple(2**20 * n for n in (32, 64, 128, 256, 512)),
}
_SET_MATRIX = {"cpu": (256, 1024), "cuda": (4096, 4096)}  # as small models have them; large for a launch
_ROWS = (1, 8, 32, 128, 512, 4096)
_RATE_WIDTH = {"cpu": 1024, "cuda": 4096}  # of the square matrices whose products are timed
_ENOUGH_S = 0.06  # of one figure's products
_REPEATS = 5
_PROBE_WIDTH = 512  # of the square matrices of the one fixed product: they fit a cache
_PROBE_PRODUCTS = 4  # of a try: each is timed, and together they tell the share
_PROBE_TRIES = 12  # spread over more than a few time slices: the best one had the machine for itself
_PROBE_S = 0.3  # that they take at least: on a fast core twelve tries are over within one hiccup


@dataclass(frozen=True)
class Machine:
    """The limits of one device.

    device: cpu, cuda or cuda:N. dtype: of the products timed.
    bandwidth: bytes per second from memory. by_working_set: the same when as
    many bytes are read over and over: what fits a cache is read faster.
    rates: operations per second by the rows that a matrix is multiplied with.
    """

    device: Device
    dtype: str
    threads: int
    bandwidth: float
    by_working_set: tuple[tuple[float, ...], ...]
    rates: tuple[tuple[float, ...], ...]


def measure_machine(device: Device, dtype: str, threads: int = 1) -> Machine:
    """Measure a device in a few seconds. Raises EngineError when it cannot be used here."""
    bandwidth = memory_bandwidth(device, dtype, threads)
    with _products(device, dtype, threads) as products:
        kind = device.kind
        sets = tuple((float(size), products.cycling(size)) for size in _WORKING_SETS[kind])
        rates = tuple((float(rows), products.rate(rows)) for rows in _ROWS)
        return Machine(device, products.dtype, threads, bandwidth, sets, rates)


def memory_bandwidth(device: Device, dtype: str, threads: int = 1) -> float:
    """Bytes per second that products of one row with a large matrix read; takes about a second.

    dtype: that of the weights; see _MEASURED_AS for those that are measured as
    another. threads: of the CPU. Raises EngineError when the device cannot be used here.
    """
    with _products(device, dtype, threads) as products:
        return products.streaming()


def fixed_product() -> tuple[float, float]:
    """Seconds of one product of float32 matrices on one thread of the CPU, and CPU time over wall time.

    The best of several tries, and the median share: what else runs on the core most
    of the time takes from the share, what heats, clocks or shares it adds to the seconds.
    """
    with _products(CPU, "float32", 1) as products:
        return products.fixed(_PROBE_WIDTH, _PROBE_TRIES, _PROBE_S)


@contextmanager
def _products(device: Device, dtype: str, threads: int) -> Iterator["_Products"]:
    """Torch's threads are as before when the block ends."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        kind = device.kind
        name = _MEASURED_AS.get(dtype, dtype)
        name = _MEASURED_AS_ON_CPU.get(name, name) if kind == "cpu" else name
        torch.empty(0, device=device)
        with torch.inference_mode():
            yield _Products(torch.device(device), getattr(torch, name))
    except (AssertionError, RuntimeError) as error:
        raise EngineError(f"Device {device!r} cannot be measured here: {_first_line(error)}") from error
    finally:
        torch.set_num_threads(before)


class _Products:
    """Products of rows with matrices on one device, timed."""

    def __init__(self, device: "torch.device", dtype: "torch.dtype") -> None:
        self._device, self._type = device, dtype
        self.dtype = str(dtype).removeprefix("torch.")

    def streaming(self) -> float:
        """Bytes per second of a matrix that no cache holds: the best, since anything else slows it down."""
        size = _STREAM_BYTES[self._device.type]
        columns = size // (_STREAM_ROWS * self._type.itemsize)
        matrix, row = self._matrix(_STREAM_ROWS, columns), self._noise(1, _STREAM_ROWS)
        return size / min(self._timed(lambda: row @ matrix, _PROBE_TRIES))

    def cycling(self, size: int) -> float:
        """Bytes per second of small matrices, `size` bytes in all, one after another."""
        shape = _SET_MATRIX[self._device.type]
        matrices, row = self._matrices(shape, size), self._noise(1, shape[0])
        return shape[0] * shape[1] * self._type.itemsize / _median(self._timed(lambda: row @ next(matrices)))

    def fixed(self, width: int, tries: int, enough_s: float) -> tuple[float, float]:
        """Seconds of a product of square matrices, and CPU time of this thread over wall time.

        tries: at least; more until they took enough_s.
        """
        left, right = self._noise(width, width), self._noise(width, width)
        left @ right  # the first one pays for memory
        marks = [(time.perf_counter(), time.thread_time())]
        while len(marks) <= _PROBE_PRODUCTS * tries or marks[-1][0] - marks[0][0] < enough_s:
            for _ in range(_PROBE_PRODUCTS):
                left @ right
                marks.append((time.perf_counter(), time.thread_time()))
        best_s = min(end_s - start_s for (start_s, _), (end_s, _) in pairwise(marks))
        longer = pairwise(marks[::_PROBE_PRODUCTS])  # than what a busy core is given at a time
        return best_s, _median([(cpu_end - cpu) / (end - start) for (start, cpu), (end, cpu_end) in longer])

    def rate(self, rows: int) -> float:
        """Operations per second of `rows` rows with square matrices that no cache holds."""
        width = _RATE_WIDTH[self._device.type]
        matrices = self._matrices((width, width), _STREAM_BYTES[self._device.type])
        inputs = self._noise(rows, width)
        return 2 * rows * width * width / _median(self._timed(lambda: inputs @ next(matrices)))

    def _matrices(self, shape: tuple[int, int], size: int) -> "Iterator[torch.Tensor]":
        """Matrices of this shape, `size` bytes in all, again and again."""
        count = max(1, round(size / (shape[0] * shape[1] * self._type.itemsize)))
        return cycle([self._matrix(*shape) for _ in range(count)])

    def _matrix(self, inputs: int, outputs: int) -> "torch.Tensor":
        """Make (inputs, outputs), laid out as engines have them: by inputs on a CPU, by outputs on a GPU."""
        by_inputs = self._device.type == "cpu"
        return self._noise(inputs, outputs) if by_inputs else self._noise(outputs, inputs).t()

    def _noise(self, *shape: int) -> "torch.Tensor":
        import torch

        return torch.empty(shape, device=self._device, dtype=self._type).uniform_(-0.1, 0.1)

    def _timed(self, product: Callable[[], object], repeats: int = _REPEATS) -> list[float]:
        """Seconds of one `product`, a few times over."""
        wait = self._wait()
        product()  # the first one pays for memory and kernels
        wait()
        start = time.perf_counter()
        product()
        wait()
        times = max(1, round(_ENOUGH_S / _REPEATS / (time.perf_counter() - start)))
        marks = [time.perf_counter()]
        for _ in range(repeats):
            for _ in range(times):
                product()
            wait()
            marks.append(time.perf_counter())
        return [(after - before) / times for before, after in pairwise(marks)]

    def _wait(self) -> Callable[[], None]:
        import torch

        if self._device.type == "cpu":
            return lambda: None
        return lambda: torch.cuda.synchronize(self._device)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
