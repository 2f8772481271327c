"""The backend of one config: the sessions that it needs of a pair, created once and shared by its engines.

              encoder   fusion   cross-attention KV and decoder
    llm       llm                llm
    slm       slm                slm
    hybrid    llm       hybrid   hybrid

A decoder-only model has neither encoder nor cross-attention; where it is a hybrid's LLM, its
first layers encode.

A pair's weights are read only for graphs that the cache does not have.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from onnxruntime import InferenceSession

from hybrid.engines.contract import EngineConfig
from hybrid.engines.graph_coverage import decoder_for, encoder_for, reader_for
from hybrid.engines.onnx.cache import load_or_build
from hybrid.engines.onnx.causal_runtime import CausalDecoder, CausalSession
from hybrid.engines.onnx.decoder_runtime import CrossingDecoder, CrossingSession, GreedyDecoder
from hybrid.engines.onnx.encoder_runtime import EncoderSession, FusionSession, PromptIds
from hybrid.engines.onnx.runtime import BuiltGraph, Matrix, create_session
from hybrid.engines.registry import INT8_ENCODER
from hybrid.models.architectures import sizes_of
from hybrid.models.fused_model import HybridConfig
from hybrid.models.fusion import ReadLayers, layer_numbers
from hybrid.models.sources import models_of
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
        self._bundle: Bundle | None = None
        self._created: dict[Hashable, Any] = {}

    def encoder(self, model: Model) -> EncoderSession | PromptIds:
        """Give what reads first for `model`: of a hybrid, the LLM's; nothing for a decoder-only model."""
        if model == "hybrid":
            hybrid = cast(HybridConfig, self._config.source.config("hybrid"))
            decoder_only = sizes_of(hybrid.llm).decoder_only
            if decoder_only or hybrid.layer is not None:
                return self._layers(hybrid.layer, "blocks" if decoder_only else "rows")
        elif self._decoder_only(model):
            return self._once("ids", PromptIds)
        first: Model = "slm" if model == "slm" else "llm"
        matrix = self._read_matrix("rows")

        def build() -> BuiltGraph:
            from hybrid.engines.onnx.encoder_graphs import encoder_graph

            return encoder_graph(encoder_for("onnx", self._encoder_model(first)), matrix)

        def create() -> EncoderSession:
            return EncoderSession(self._graph("encoder", first, matrix, build), self._threads)

        return self._once(("encoder", first), create)

    def _layers(self, layer: ReadLayers, matrix: Matrix) -> EncoderSession:
        """Give the LLM's layers as far as the hybrid reads them, see architectures.reader_of."""
        matrix = self._read_matrix(matrix)

        def build() -> BuiltGraph:
            from hybrid.engines.onnx.encoder_graphs import encoder_graph

            return encoder_graph(reader_for("onnx", self._pair().hybrid.llm, layer), matrix)

        numbers = "+".join(map(str, layer_numbers(layer)))
        role = f"reader to layer {numbers}" if numbers else "reader"
        return self._once(
            role, lambda: EncoderSession(self._graph(role, "llm", matrix, build), self._threads)
        )

    def fusion(self) -> FusionSession:
        """Give what turns the LLM's hidden states into those of the hybrid."""
        matrix = self._read_matrix("rows")

        def build() -> BuiltGraph:
            from hybrid.engines.onnx.encoder_graphs import fusion_graph

            hybrid = self._pair().hybrid
            encodes = not self._decoder_only("hybrid")
            stack = (encoder_for if encodes else decoder_for)("onnx", hybrid.slm)
            if hybrid.bridge is not None:
                stack = replace(stack, embeddings=hybrid.prompt_embeddings())
            return fusion_graph(hybrid.projector, hybrid.config.fusion, stack, encodes, matrix)

        def create() -> FusionSession:
            return FusionSession(self._graph("fusion", "hybrid", matrix, build), self._threads)

        return self._once("fusion", create)

    def decoder(self, model: Model) -> GreedyDecoder:
        """Give a decoder of `model` with caches of its own."""
        return self._greedy(model, "blocks" if self._config.dtype == "int8" else "float32")

    def verifier(self, drafts: bool) -> GreedyDecoder:
        """Give the LLM's decoder; the same for drafts of a model and of a lookup."""
        return self.decoder("llm")

    def drafter(self, model: Model) -> GreedyDecoder:
        """Give the decoder of `model` for drafts, with caches of its own."""
        return self._greedy(model, "blocks")

    @property
    def _threads(self) -> int:
        return self._config.threads

    def _read_matrix(self, matrix: Matrix) -> Matrix:
        return matrix if self._config.options.get(INT8_ENCODER) == "on" else "float32"

    def _greedy(self, model: Model, matrix: Matrix) -> GreedyDecoder:
        eos_ids = self._config.source.codec(model).eos_ids

        def build() -> BuiltGraph:
            from hybrid.engines.onnx.decoder_graphs import decoder_graph

            return decoder_graph(decoder_for("onnx", self._decoder_model(model)), matrix)

        def step() -> BuiltGraph:
            return self._graph("decoder", model, matrix, build)

        key = "decoder", model, matrix
        if self._decoder_only(model):
            return CausalDecoder(self._once(key, lambda: CausalSession(step(), self._threads)), eos_ids)
        cross_kv = self._cross_kv(model)
        session = self._once(key, lambda: CrossingSession(cross_kv, step(), self._threads))
        return CrossingDecoder(session, eos_ids)

    def _decoder_only(self, model: Model) -> bool:
        """Say whether what writes for `model` has no encoder."""
        config = self._config.source.config(model)
        return sizes_of(config.slm if isinstance(config, HybridConfig) else config).decoder_only

    def _cross_kv(self, model: Model) -> InferenceSession:
        def build() -> BuiltGraph:
            from hybrid.engines.onnx.decoder_graphs import cross_kv_graph

            return cross_kv_graph(decoder_for("onnx", self._decoder_model(model)), matrix)

        def create() -> InferenceSession:
            return create_session(self._graph("crossing", model, matrix, build), self._threads)

        matrix = self._read_matrix("rows")

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
