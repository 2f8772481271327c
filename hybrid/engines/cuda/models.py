"""One model as graphs take it, and what is captured for a request as the strategies of decoding.py use it."""

from collections.abc import Mapping
from typing import Any, cast

from hybrid.engines.cuda.buffers import SPARE
from hybrid.engines.cuda.drafting import DraftingGraph
from hybrid.engines.cuda.graphs import DecodeGraph, EmbeddingGraph, FusionGraph
from hybrid.engines.cuda.kernel_selector import KernelSelector
from hybrid.engines.cuda.shared_state import CAPACITIES, LENGTHS, ModelGraphs, SharedGraphState
from hybrid.engines.cuda.weights import PackedEncoder, PackedFusion, pack_decoder, pack_fusion
from hybrid.engines.graph_coverage import decoder_for, encoder_for, reader_for
from hybrid.models.bundle import Bundle
from hybrid.schema import Model, Observer, Status

ENGINE = "cuda-graph"
LONGEST = LENGTHS[-1] + CAPACITIES[-1] + SPARE  # tokens of a text
# Of an id more in a pass, over a pass for one: assumed, since a pass mostly waits for launches.
LOOKUP_COST = 0.02


class PackedModel:
    """The weights of one model, and the kernels of its decode steps and passes.

    reads: what takes its prompts; embeddings alone in a decoder-only model. notices: sentences about
    kernels that were given up, which `observer` has heard. Raises EngineError when the model is of
    another kind.
    """

    def __init__(
        self, bundle: Bundle, model: Model, shared: SharedGraphState, observer: Observer, kernels: str
    ) -> None:
        self._model, self._shared, self._observer = model, shared, observer
        self._eos = bundle.codec(model).eos_ids
        fuses, whole = model == "hybrid", cast(Any, bundle.model(model))
        writes = whole.slm if fuses else whole
        stack = decoder_for(ENGINE, writes)
        encoder = encoder_for(ENGINE, writes) if stack.has_cross_attention else None
        self.decoder = pack_decoder(stack, shared.target, LONGEST, shared.layer)
        self.fusion: PackedFusion | None = None
        reads: PackedEncoder | None = None
        if fuses:
            reads = shared.encoder(reader_for(ENGINE, whole.llm, whole.config.layer))
            embeddings = (encoder or stack).embeddings if whole.bridge is None else whole.prompt_embeddings()
            parts = whole.projector, whole.config.fusion, embeddings, encoder
            self.fusion = pack_fusion(*parts, shared.target, shared.reach)
        elif encoder is not None:
            reads = shared.encoder(encoder)
        self.reads = self.decoder.embeddings if reads is None else reads
        self.notices: list[str] = []
        self.kernels = KernelSelector(self.decoder, self._say, kernels)

    def capture(self, batch: int, length: int) -> ModelGraphs:
        """Capture it for B prompts of up to so many tokens. Raises RuntimeError when that fails."""
        about = f"Capturing the {self._model} for {batch} x {length} prompt tokens"
        self._observer(Status(sentence=about))
        shared, capturer = self._shared, self._shared.capturer
        prompts = shared.prompt_graph(self.reads, self.kernels, batch, length)
        fusion = FusionGraph(self.fusion, prompts, capturer) if self.fusion else None
        states, capacity = (fusion or prompts).states, shared.capacities[self._model]
        decoder = DecodeGraph(self.decoder, self.kernels, prompts.prompts, states, capacity, capturer)
        return ModelGraphs(prompts, fusion, decoder)

    def capture_drafting(self, graphs: ModelGraphs) -> None:
        """Capture drafts and passes that verify them, too, once. Raises RuntimeError when that fails."""
        if graphs.drafting is None:
            graphs.drafting = DraftingGraph(graphs.decoder, self._eos, self._shared.capturer)

    def _say(self, sentence: str) -> None:
        self.notices.append(sentence)
        self._observer(Status(sentence=sentence))


class CapturedRequest:
    """decoding.Backend: what is captured of each model for one request."""

    drafts_first = False  # the first ids come with the prompts
    lookup_cost = LOOKUP_COST

    def __init__(self, graphs: Mapping[Model, ModelGraphs]) -> None:
        self.graphs = graphs

    def encoder(self, model: Model) -> EmbeddingGraph:
        """Give what reads prompts."""
        return self.graphs[model].prompts

    def fusion(self) -> FusionGraph:
        """Give the hybrid's captured fusion."""
        fusion = self.graphs["hybrid"].fusion
        assert fusion is not None, "no hybrid's"
        return fusion

    def decoder(self, model: Model) -> DecodeGraph:
        """Give captured greedy decoding."""
        return self.graphs[model].decoder

    def verifier(self, drafts: bool) -> DraftingGraph:
        """Give the LLM's captured passes over several ids."""
        return self.drafter("llm")

    def drafter(self, model: Model) -> DraftingGraph:
        """Give captured drafts of `model`."""
        drafting = self.graphs[model].drafting
        assert drafting is not None, "see PackedModel.capture_drafting"
        return drafting
