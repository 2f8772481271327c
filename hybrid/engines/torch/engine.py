"""The reference engine: greedy decoding in PyTorch, by every method alike.

    llm       prompts -> LLM encoder                                     -> LLM decoder -> answers
    slm       prompts -> SLM encoder                                     -> SLM decoder -> answers
    hybrid    prompts -> LLM encoder -> projector, fusion, SLM encoder   -> SLM decoder -> answers
    lossless  a prompt -> LLM encoder, read by both -> SLM decoder drafts, LLM decoder verifies -> answer

It gives the ids of transformers' greedy generate() without its overhead per
token, for one prompt or a batch; lossless-slm and lossless-lookup take their
drafts from elsewhere. A decoder-only model has no encoder: prefill takes the
prompt, or a hybrid's fused one; where it is a hybrid's LLM, its layers encode.
It yields a Step at every phase boundary and has no clock.
"""

import gc
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

import torch

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.decoding import Encoder, check_batch, decoding_strategy
from hybrid.engines.generation import GenerationGuard
from hybrid.engines.torch.batch_decoder import BatchDecoder
from hybrid.engines.torch.decoder import SingleDecoder
from hybrid.engines.torch.encoder import LatentFusion, PromptEmbedder, PromptEncoder, StackEncoder, States
from hybrid.engines.torch.layers import PackedDecoder, PackedLayer
from hybrid.engines.torch.module_encoder import ModuleEncoder, not_covered
from hybrid.engines.torch.operations import Target
from hybrid.errors import EngineError
from hybrid.models.architectures import decoder_of, encoder_of, reader_of
from hybrid.models.architectures.records import Stack
from hybrid.models.bundle import Bundle
from hybrid.models.context import check_room, contexts_of
from hybrid.models.fusion import Affine
from hybrid.models.reading import devices_of
from hybrid.models.sources import models_of
from hybrid.schema import METHODS, Device, EncodedPrompt, Model, Notice, Sampling, Step

P = TypeVar("P")


class TorchEngine:
    """One method of a bundle, ready to answer; it serves one generation at a time.

    method: of METHODS. device: where it runs; dtype: float32 on the CPU and
    bfloat16 on a GPU when None. threads: of torch on the CPU, set for whoever
    iterates `generate`; None leaves them alone. backend: of the same bundle,
    where other engines share it. Raises EngineError when it cannot run here.

    As attributes, what a benchmark records: name, device and dtype, such as
    "cuda" and "bfloat16"; options, of which it has none; synchronize waits for
    the device, None where nothing is left running.
    """

    name = "torch"

    def __init__(
        self,
        bundle: Bundle,
        method: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        threads: int | None = None,
        backend: "TorchBackend | None" = None,
    ) -> None:
        if method not in METHODS:
            raise EngineError(f"There is no method {method!r}; available: {', '.join(METHODS)}.")
        place = check_device(device)
        on_cpu = place.type == "cpu"
        target = Target(place, dtype or (torch.float32 if on_cpu else torch.bfloat16))
        self.options: Mapping[str, str] = {}
        self.method = method
        self.device, self.dtype = Device.parse(str(place)), str(target.dtype).removeprefix("torch.")
        self.synchronize = None if on_cpu else partial(torch.accelerator.synchronize, place)
        self._threads = threads
        self._guard = GenerationGuard()
        self._contexts = contexts_of(bundle.model(model).config for model in METHODS[method].models)
        with torch.inference_mode():
            backend = backend or TorchBackend(bundle, target)
            self.strategy = decoding_strategy(backend, method, bundle.codec(method).eos_ids)

    @torch.inference_mode()  # entered anew for each Step: the caller's code between them runs outside it
    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps encode, (project,) prefill, decode and so on.

        The lossless methods answer one prompt, with draft and verify in turn in
        place of decode; lossless-slm encodes the prompt twice. Where a model
        drafts, a draft comes before prefill, which verifies it.
        """
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # OpenMP keeps this per thread, so not in __init__
        check_batch(self.method, len(prompts))
        ids = [prompt.token_ids for prompt in prompts]
        check_room(self._contexts, max(map(len, ids)), sampling.max_new_tokens)
        yield from self._guard.follow(self.strategy.decode(ids, sampling))


class TorchBackend:
    """Packs the parts of `bundle` when they are first asked for; engines that are made together share them.

    It holds the bundle, so that an engine must not hold it.
    """

    drafts_first = True
    lookup_cost = 0.05

    def __init__(self, bundle: Bundle, target: Target) -> None:
        self._bundle, self._target = bundle, target
        self._packed: dict[Hashable, Any] = {}
        self._pointers = {p.data_ptr() for model in bundle.models.values() for p in model.parameters()}

    def encoder(self, model: Model) -> Encoder[States]:
        """Give what reads prompts first for `model`; the same for two models that read alike."""
        if model == "hybrid":
            return self._hybrid_reader()
        stack = encoder_of(self._bundle.model(model))
        if stack is None:
            return PromptEmbedder(self._decoder(model, self._target).embeddings, self._target)
        return self._reader(stack)

    def fusion(self) -> LatentFusion:
        """Give the hybrid's, and the SLM's encoder behind it where it has one."""
        return self._once("fusion", self._fusion)

    def decoder(self, model: Model) -> "TorchDecoder":
        """Give a decoder of `model` with caches of its own, for one prompt or several."""
        return TorchDecoder(self._decoder(model, self._target), self._bundle.codec(model).eos_ids)

    def verifier(self, drafts: bool) -> SingleDecoder:
        """Give the LLM's decoder, laid out for several rows where most passes are over drafts."""
        # Most passes of a lookup are over one id, for want of a match.
        packed = self._decoder("llm", replace(self._target, several=drafts))
        return SingleDecoder(packed, self._bundle.codec("llm").eos_ids)

    def drafter(self, model: Model) -> SingleDecoder:
        """Give the decoder of `model` for drafts, with caches of its own."""
        return SingleDecoder(self._decoder(model, self._target), self._bundle.codec(model).eos_ids)

    def _decoder(self, model: Model, target: Target) -> PackedDecoder:
        writes = self._bundle.hybrid.slm if model == "hybrid" else self._bundle.model(model)

        def make() -> PackedDecoder:
            stack = decoder_of(writes)
            packed = PackedDecoder(stack, target, self._layers(stack, target))
            packed.embeddings = self._shared_embeddings(stack, packed.embeddings)
            return packed

        return self._once((model, target.blocks), make)

    def _hybrid_reader(self) -> PromptEncoder | ModuleEncoder:
        hybrid = self._bundle.hybrid
        if not_covered(hybrid.llm):
            return self._once("module", lambda: ModuleEncoder(hybrid.llm, self._target, hybrid.config.layer))
        return self._reader(reader_of(hybrid.llm, hybrid.config.layer))

    def _fusion(self) -> LatentFusion:
        hybrid, put = self._bundle.hybrid, self._target.put
        up, down = (Affine(put(layer.weight), put(layer.bias)) for layer in hybrid.projector.folded())
        stack = encoder_of(hybrid.slm)
        encoder = None if stack is None else self._reader(stack).encoder
        bridge = None
        if hybrid.bridge is not None:
            reader = self._hybrid_reader()
            embeddings = reader.embeddings
            bridge = put(hybrid.bridge.weight / reader.embedding_scale)  # it reads what is not scaled
        elif encoder is not None:
            embeddings = encoder.embeddings
        else:
            embeddings = self._decoder("hybrid", self._target).embeddings
        return LatentFusion((up, down), hybrid.config.fusion == "add", embeddings, bridge, encoder)

    def _reader(self, stack: Stack) -> PromptEncoder:
        # The hybrid holds the LLM's very weights in modules of its own.
        queries = [layer.self_attention.query.weight for layer in stack.layers]
        pointers = [weight.data_ptr() for weight in (stack.embeddings, *queries)]

        def make() -> PromptEncoder:
            layers, longest = self._layers(stack, self._target), self._bundle.max_prompt_tokens
            encoder = StackEncoder(stack, self._target, longest, layers)
            encoder.embeddings = self._shared_embeddings(stack, encoder.embeddings)
            return PromptEncoder(encoder, self._target)

        return self._once((stack.final_norm is None, stack.taps, *pointers), make)

    def _layers(self, stack: Stack, target: Target) -> list[PackedLayer]:
        """Pack the layers of a stack, each once: a decoder-only LLM writes and reads with the same."""
        layers = []
        for layer in stack.layers:
            # Where a weight lies tells layers apart if it is a model's own; what was computed has gone.
            pointer = layer.self_attention.output.weight.data_ptr()
            key = (target.blocks, pointer) if pointer in self._pointers else object()
            layers.append(self._once(key, partial(PackedLayer, layer, target)))
        return layers

    def _shared_embeddings(self, stack: Stack, packed: torch.Tensor) -> torch.Tensor:
        """Give the copy of these embeddings that is held already, or this one."""
        return self._once((stack.embedding_scale, stack.embeddings.data_ptr()), lambda: packed)

    def _once(self, key: Hashable, make: Callable[[], P]) -> P:
        if key not in self._packed:
            self._packed[key] = make()
        return cast(P, self._packed[key])


class TorchDecoder:
    """decoding.DecoderBackend: SingleDecoder for one prompt, BatchDecoder for several."""

    def __init__(self, packed: PackedDecoder, eos: Collection[int]) -> None:
        self.start = packed.start or 0
        self.single, self.batch = SingleDecoder(packed, eos), BatchDecoder(packed)
        self.extend = self.single.extend

    def prefill(self, states: States, capacity: int) -> None:
        """Take B new prompts, with answers of up to `capacity` ids."""
        decoder: SingleDecoder | BatchDecoder = self.single if states.layout.batch == 1 else self.batch
        decoder.prefill(states, capacity)
        self.extend = decoder.extend


def check_device(device: str | torch.device) -> torch.device:
    """Find the device of this name; raises EngineError when it cannot be used here."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        available = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise EngineError(f"Device {str(device)!r} cannot be used here; available: {available}.") from error
    return torch.device(device)


def unavailable_reason(device: Device) -> str | None:
    """Say why this engine cannot run on `device` here; None when it can."""
    try:
        check_device(device)
    except EngineError as error:
        return str(error)
    return None


def create_engines(config: EngineConfig) -> dict[str, Engine]:
    """Make an engine for each method; they share encoders. Raises EngineError when this cannot be.

    What no architecture covers runs through transformers' own modules: a hybrid's LLM in a step of
    its own, a model that writes altogether. The observer is told.
    """
    torch.set_num_threads(config.threads)  # for reading and packing the weights too
    dtype: torch.dtype = getattr(torch, config.dtype)
    bundle = config.bundle(models_of(config.methods))
    reasons = {method: reason for method in config.methods if (reason := _not_written(bundle, method))}
    with torch.inference_mode():
        backend = TorchBackend(bundle, Target(check_device(config.device), dtype))
    engines: dict[str, Engine] = {
        method: TorchEngine(bundle, method, config.device, dtype, config.threads, backend)
        for method in config.methods
        if method not in reasons
    }
    if "hybrid" in engines and (reason := not_covered(bundle.hybrid.llm)):
        kind, devices = type(bundle.hybrid.llm).__name__, devices_of(bundle.hybrid.llm)
        own = {"placement": f"llm over {', '.join(devices)}"} if devices else {}
        kind = type(bundle.hybrid.llm.config).__name__.removesuffix("Config") if devices else kind
        cast(TorchEngine, engines["hybrid"]).options = {"reader": f"{kind} of transformers"} | own
        sentence = f"The engine torch reads the hybrid's prompts through transformers' own {kind}: {reason}"
        config.observer(Notice(sentence=sentence))
    if reasons:
        engines |= _fallbacks(config, reasons)  # of the same models
    # The engines have copies of their own. A model refers to itself, so that only the collector ends it.
    del bundle, backend
    gc.collect()
    return engines


def _not_written(bundle: Bundle, method: str) -> str:
    """Say which model that writes in a method no architecture covers; nothing when all are covered."""
    for model in METHODS[method].models:
        if reason := not_covered(bundle.hybrid.slm if model == "hybrid" else bundle.model(model)):
            return reason
    return ""


def _fallbacks(config: EngineConfig, reasons: Mapping[str, str]) -> dict[str, Engine]:
    from hybrid.engines import transformers_engine  # which stands on this module

    engines = transformers_engine.create_engines(replace(config, methods=tuple(reasons)))
    for method, reason in reasons.items():
        sentence = f"The engine torch runs {method} through transformers' own modules: {reason}"
        config.observer(Notice(sentence=sentence))
        engine = cast(transformers_engine.TransformersEngine, engines[method])
        engine.name, engine.options = TorchEngine.name, {**engine.options, "fallback": reason}
    return engines
