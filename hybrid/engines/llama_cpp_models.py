"""A pair's models for llama.cpp: one GGUF file each, written from their weights, see converted_models.

Format: docs/gguf.md of ggml. What tensors and settings are called is the package
gguf's own list. Their vocabulary is "none": ids are all that llama.cpp is given.
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import cyllama.llama.llama_cpp as llama_cpp
import gguf
import torch
from transformers import PreTrainedModel

from hybrid.engines.contract import EngineConfig
from hybrid.engines.converted_models import load_converted
from hybrid.errors import EngineError
from hybrid.models.architectures import decoder_of, sizes_of
from hybrid.models.architectures.records import Sizes
from hybrid.models.bundle import Bundle
from hybrid.schema import Model

FORMAT = 1  # of what is written here; another number makes the files that are kept anew
ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gpt2": gguf.MODEL_ARCH.GPT2,
}
ACTIVATIONS = {"gpt2": "gelu-tanh"}  # of llama.cpp's graph of the family; silu of the others
Quantization = gguf.GGMLQuantizationType
# By precision: of the matrices, and of embeddings and head, as llama.cpp's own quantizer has it.
WEIGHTS = {
    "float32": (Quantization.F32, Quantization.F32),
    "int8": (Quantization.Q8_0, Quantization.Q8_0),
    "int4": (Quantization.Q4_1, Quantization.Q8_0),
}
CONV1D = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
TURNED = ("self_attn.q_proj", "self_attn.k_proj")


def load_model(config: EngineConfig, model: Model) -> llama_cpp.LlamaModel:
    """Return a model of the config's pair in its precision, from the cache or written for it.

    Raises EngineError when llama.cpp cannot run it.
    """

    def convert(bundle: Bundle, folder: Path) -> None:
        folder.mkdir()
        write_gguf(bundle.model(model), folder / "model.gguf", config.dtype)

    library = ("llama.cpp", "llama.cpp", f"{FORMAT}-{version('gguf')}")
    return load_converted(config, model, library, convert, _load)


def _load(folder: Path) -> llama_cpp.LlamaModel:
    llama_cpp.disable_logging()
    try:
        return llama_cpp.LlamaModel(str(folder / "model.gguf"), verbose=False)
    except (RuntimeError, ValueError) as error:
        raise EngineError(f"llama.cpp cannot load the model: {error}") from error


def write_gguf(model: PreTrainedModel, path: Path, dtype: str) -> None:
    """Write a model with weights of a precision, of WEIGHTS. Raises EngineError for one it would not be."""
    _check(model)
    about = sizes_of(model.config)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[ARCHITECTURES[about.family]])
    _add_settings(writer, model, about)
    matrices, embeddings = WEIGHTS[dtype]
    for name, values in _tensors(model, about):
        kind = embeddings if name in ("token_embd.weight", "output.weight") else matrices
        if values.ndim == 1 or values.shape[1] % 32 or name == "position_embd.weight":
            kind = Quantization.F32  # blocks are of 32 values
        writer.add_tensor(name, gguf.quants.quantize(values.numpy(), kind), raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()  # what is open takes its room on a full disk, deleted or not


def _check(model: PreTrainedModel) -> None:
    """Raise EngineError for a model that llama.cpp would run otherwise than it is, or not at all."""
    kind, reason = model.config.model_type, ""
    turned = (getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default")
    if kind not in ARCHITECTURES:
        reason = "its family"
    elif turned != "default":
        reason = f"rotary positions of the type {turned}"
    elif sizes_of(model.config).activation != ACTIVATIONS.get(kind, "silu"):
        reason = f"the activation {sizes_of(model.config).activation}"
    elif any(layer.self_attention.window for layer in decoder_of(model).layers):
        reason = "its windows"
    if reason:
        raise EngineError(
            f"The engine llama.cpp does not run this {kind}, for {reason}; it runs "
            f"{', '.join(ARCHITECTURES)}; use --engine torch or --engine transformers."
        )


def _add_settings(writer: gguf.GGUFWriter, model: PreTrainedModel, about: Sizes) -> None:
    config, norm = model.config, decoder_of(model).final_norm
    assert norm is not None
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(about.d_model)
    writer.add_block_count(about.decoder_layers)
    writer.add_feed_forward_length(about.d_ff)
    writer.add_head_count(about.heads)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(about.vocabulary)
    if about.family == "gpt2":
        writer.add_layer_norm_eps(norm.eps)
        return
    writer.add_head_count_kv(about.key_value_heads)
    writer.add_key_length(about.head_width)
    writer.add_value_length(about.head_width)
    writer.add_rope_dimension_count(about.head_width)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(norm.eps)


def _tensors(model: PreTrainedModel, about: Sizes) -> Iterator[tuple[str, torch.Tensor]]:
    """Give the model's tensors, float32, under llama.cpp's names and in its order of channels."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[about.family], about.decoder_layers)
    for name, values in model.state_dict().items():
        if name == "lm_head.weight" and about.tied_head:
            continue
        place = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert place is not None, name
        values = values.detach().float()
        if name.endswith(CONV1D):
            values = values.t()
        if about.family == "llama" and any(part in name for part in TURNED):
            values = _neighbours(values, about.key_value_heads if "k_proj" in name else about.heads)
        yield place, values.contiguous()


def _neighbours(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Put channels that are turned together side by side, as llama.cpp's Llama has its queries and keys."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)
