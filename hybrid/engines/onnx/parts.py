"""What one order needs of a pair: the sessions that read and write, each made once and shared.

              encoder   fusion   crossing and decoder
    llm       llm                llm
    slm       slm                slm
    hybrid    llm       hybrid   hybrid

A pair's weights are read only for what the cache does not have.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from onnxruntime import InferenceSession

from hybrid.engines.config import Order
from hybrid.engines.onnx.cache import cached
from hybrid.engines.onnx.reading import Encoder
from hybrid.engines.onnx.sessions import Matrix, Part, session
from hybrid.engines.onnx.writing import Writer
from hybrid.models.source import models_of
from hybrid.schema import Model

if TYPE_CHECKING:
    from hybrid.models.bundle import Bundle

T = TypeVar("T")
MODEL_NAMES: Mapping[Model, str] = {"llm": "LLM", "slm": "SLM", "hybrid": "hybrid"}
PRECISIONS: Mapping[Matrix, str] = {"float32": "float32", "blocks": "8 bits", "rows": "7 bits"}


class Parts:
    """The parts for `order`. reading, writing: how the matrices of encoders and of decoders are held.

    It holds the pair's weights once it has read them, so that an engine must not hold it.
    """

    def __init__(self, order: Order, reading: Matrix, writing: Matrix) -> None:
        self._order = order
        self._reading: Matrix = reading
        self._writing: Matrix = writing
        self._bundle: Bundle | None = None
        self._made: dict[Hashable, Any] = {}

    def encoder(self, model: Model) -> Encoder:
        """What reads a prompt for `model` first: the LLM's encoder or the SLM's own."""
        reads: Model = "slm" if model == "slm" else "llm"

        def build() -> Part:
            from hybrid.engines.onnx.encoder import encoder_part

            return encoder_part(self._read_by(reads), self._reading)

        return self._once(
            ("encoder", reads),
            lambda: Encoder(self._cached("encoder", reads, self._reading, build), self._order.threads),
        )

    def fusion(self) -> Encoder:
        """What makes the LLM's states those of the hybrid."""

        def build() -> Part:
            from hybrid.engines.onnx.encoder import fusion_part

            return fusion_part(self._pair().hybrid, self._reading)

        return self._once(
            "fusion",
            lambda: Encoder(self._cached("fusion", "hybrid", self._reading, build), self._order.threads),
        )

    def writer(self, model: Model, matrix: Matrix | None = None) -> Writer:
        """The decoder of `model`. matrix: how it holds matrices, when not as all do."""
        writing: Matrix = matrix or self._writing

        def build() -> Part:
            from hybrid.engines.onnx.decoder import decoder_part

            return decoder_part(self._written_by(model), writing)

        def make() -> Writer:
            step = self._cached("decoder", model, writing, build)
            return Writer(self._crossing(model), step, self._order.threads)

        return self._once(("writer", model, writing), make)

    def _crossing(self, model: Model) -> InferenceSession:
        def build() -> Part:
            from hybrid.engines.onnx.decoder import crossing_part

            return crossing_part(self._written_by(model), self._reading)

        return self._once(
            ("crossing", model),
            lambda: session(self._cached("crossing", model, self._reading, build), self._order.threads),
        )

    def _pair(self) -> "Bundle":
        if self._bundle is None:
            self._bundle = self._order.source.bundle(models_of(self._order.methods))
        return self._bundle

    def _read_by(self, model: Model) -> Any:
        pair = self._pair()
        return pair.model(model) if model in pair.models else pair.hybrid.llm

    def _written_by(self, model: Model) -> Any:
        pair = self._pair()
        return pair.hybrid.slm if model == "hybrid" else pair.model(model)

    def _cached(self, role: str, model: Model, matrix: Matrix, build: Callable[[], Part]) -> Part:
        def tell_and_build() -> Part:
            name, precision = MODEL_NAMES[model], PRECISIONS[matrix]
            self._order.progress(f"Building the {role} of the {name} for ONNX Runtime, in {precision}")
            return build()

        sha256 = self._order.source.weights_sha256(model)
        return cached(f"{role}-{matrix}", sha256, tell_and_build, self._order.progress)

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])
