"""The backend of one config: the sessions that it needs of a pair, created once and shared by its engines.

              encoder   fusion   cross-attention KV and decoder
    llm       llm                llm
    slm       slm                slm
    hybrid    llm       hybrid   hybrid

A pair's weights are read only for graphs that the cache does not have.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from onnxruntime import InferenceSession

from hybrid.engines.contract import EngineConfig
from hybrid.engines.graph_coverage import decoder_for, encoder_for
from hybrid.engines.onnx.cache import load_or_build
from hybrid.engines.onnx.decoder_runtime import DecoderSession, GreedyDecoder
from hybrid.engines.onnx.encoder_runtime import EncoderSession, FusionSession
from hybrid.engines.onnx.runtime import BuiltGraph, Matrix, create_session
from hybrid.models.bundle import models_of
from hybrid.schema import Model, Status

if TYPE_CHECKING:
    from hybrid.models.bundle import Bundle

T = TypeVar("T")
MODEL_NAMES: Mapping[Model, str] = {"llm": "LLM", "slm": "SLM", "hybrid": "hybrid"}
PRECISIONS: Mapping[Matrix, str] = {"float32": "float32", "blocks": "8 bits", "rows": "7 bits"}


class OnnxBackend:
    """decoding.Backend for `config`; it holds the weights that it has read, so an engine must not hold it.

    drafts_first: the first id waits for the LLM alone. lookup_cost: of an id more
    in a pass of the LLM, over a pass for one id. Drafts are made in 8 bits, since
    the LLM verifies every id anyway. In 8 bits itself, attention over several
    tokens at once may round an activation otherwise than attention over each: of
    118 answers of the bundled pair 108 were the same.
    """

    drafts_first = False
    lookup_cost = 0.1

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._encoder_matrix: Matrix = "rows" if config.options.get("int8_encoder") == "on" else "float32"
        self._decoder_matrix: Matrix = "blocks" if config.dtype == "int8" else "float32"
        self._bundle: Bundle | None = None
        self._created: dict[Hashable, Any] = {}

    def encoder(self, model: Model) -> EncoderSession:
        """Give the encoder that `model` begins with: the LLM's or the SLM's own."""
        first: Model = "slm" if model == "slm" else "llm"

        def build() -> BuiltGraph:
            from hybrid.engines.onnx.model_graphs import encoder_graph

            return encoder_graph(encoder_for("onnx", self._encoder_model(first)), self._encoder_matrix)

        def create() -> EncoderSession:
            return EncoderSession(self._graph("encoder", first, self._encoder_matrix, build), self._threads)

        return self._once(("encoder", first), create)

    def fusion(self) -> FusionSession:
        """Give what turns the LLM's hidden states into those of the hybrid."""

        def build() -> BuiltGraph:
            from hybrid.engines.onnx.model_graphs import fusion_graph

            hybrid = self._pair().hybrid
            encoder_for("onnx", hybrid.llm)  # all layers of an encoder, or it is refused
            stack = encoder_for("onnx", hybrid.slm)
            if hybrid.bridge is not None:
                stack = replace(stack, embeddings=hybrid.prompt_embeddings())
            return fusion_graph(hybrid.projector, hybrid.config.fusion, stack, self._encoder_matrix)

        def create() -> FusionSession:
            return FusionSession(self._graph("fusion", "hybrid", self._encoder_matrix, build), self._threads)

        return self._once("fusion", create)

    def decoder(self, model: Model) -> GreedyDecoder:
        """Give a decoder of `model` with caches of its own."""
        return GreedyDecoder(self._decoder(model, self._decoder_matrix), self._eos_ids(model))

    def verifier(self, drafts: bool) -> GreedyDecoder:
        """Give the LLM's decoder; the same for drafts of a model and of a lookup."""
        return self.decoder("llm")

    def drafter(self, model: Model) -> GreedyDecoder:
        """Give the decoder of `model` for drafts, with caches of its own."""
        return GreedyDecoder(self._decoder(model, "blocks"), self._eos_ids(model))

    @property
    def _threads(self) -> int:
        return self._config.threads

    def _decoder(self, model: Model, matrix: Matrix) -> DecoderSession:
        def build() -> BuiltGraph:
            from hybrid.engines.onnx.model_graphs import decoder_graph

            return decoder_graph(decoder_for("onnx", self._decoder_model(model)), matrix)

        def create() -> DecoderSession:
            step = self._graph("decoder", model, matrix, build)
            return DecoderSession(self._cross_kv(model), step, self._threads)

        return self._once(("decoder", model, matrix), create)

    def _cross_kv(self, model: Model) -> InferenceSession:
        def build() -> BuiltGraph:
            from hybrid.engines.onnx.model_graphs import cross_kv_graph

            return cross_kv_graph(decoder_for("onnx", self._decoder_model(model)), self._encoder_matrix)

        def create() -> InferenceSession:
            return create_session(self._graph("crossing", model, self._encoder_matrix, build), self._threads)

        return self._once(("cross_kv", model), create)

    def _pair(self) -> "Bundle":
        if self._bundle is None:
            self._bundle = self._config.source.bundle(models_of(self._config.methods))
        return self._bundle

    def _encoder_model(self, model: Model) -> Any:
        pair = self._pair()
        return pair.model(model) if model in pair.models else pair.hybrid.llm

    def _decoder_model(self, model: Model) -> Any:
        pair = self._pair()
        return pair.hybrid.slm if model == "hybrid" else pair.model(model)

    def _eos_ids(self, model: Model) -> tuple[int, ...]:
        return self._config.source.codec(model).eos_ids

    def _graph(self, role: str, model: Model, matrix: Matrix, build: Callable[[], BuiltGraph]) -> BuiltGraph:
        def announce_and_build() -> BuiltGraph:
            name, precision = MODEL_NAMES[model], PRECISIONS[matrix]
            sentence = f"Building the {role} of the {name} for ONNX Runtime, in {precision}"
            self._config.observer(Status(sentence=sentence))
            return build()

        sha256 = self._config.source.weights_sha256(model)
        return load_or_build(f"{role}-{matrix}", sha256, announce_and_build, self._config.observer)

    def _once(self, key: Hashable, create: Callable[[], T]) -> T:
        if key not in self._created:
            self._created[key] = create()
        return cast(T, self._created[key])
