"""Models of every family as a pair's SLM: what is stored comes back, buffers and positions included."""

from pathlib import Path

import pytest
import torch

from hybrid.models.architectures import ARCHITECTURES
from hybrid.models.bundle import load_bundle
from hybrid.models.pair import Hybrid
from hybrid.models.writing import ModelTexts, save_pair
from hybrid.schema import PromptFormat, Task
from tests.models.tiny import FAMILIES, tiny_model

TASK = Task("simplify", "Simplify", "Simplify: ", "en", "en")
COVERED = [name for name in FAMILIES if name in ARCHITECTURES]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> ModelTexts:
    """A tokenizer of fewer ids than tiny models have."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "the": 3, "house": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return ModelTexts(tokenizer=path, eos="</s>", pad="<pad>", formats={TASK.name: PromptFormat(eos="</s>")})


@pytest.mark.parametrize("family", COVERED)
def test_a_family_comes_back(family: str, texts: ModelTexts, tmp_path: Path) -> None:
    llm, slm = tiny_model("llama", seed=1), tiny_model(family, seed=2)
    for name, buffer in slm.named_buffers():
        if name == "final_logits_bias":
            buffer.normal_()
    hybrid = Hybrid.from_parts(llm, tiny_model(family, seed=3), layer=2).eval()
    models = {"llm": llm, "slm": slm, "hybrid": hybrid}
    save_pair(tmp_path / "p", {"llm": texts, "slm": texts}, [TASK], models, 64, {})
    bundle = load_bundle("p", tmp_path)
    for role, model in models.items():
        stored = bundle.model(role).state_dict()
        assert stored.keys() == model.state_dict().keys()
        for name, tensor in model.state_dict().items():
            exact = tensor.ndim == 1 or len(tensor) == 1 or name.endswith("embed_positions.weight")
            bound = 0.0 if exact else float(tensor.abs().max()) / 127
            assert (stored[name] - tensor).abs().max() <= bound, name
        for name, buffer in model.named_buffers():
            loaded = dict(bundle.model(role).named_buffers())[name]
            torch.testing.assert_close(loaded, buffer, msg=name)
    (prompt,) = bundle.codec("hybrid").encode(TASK.name, ["the house"])
    ids = torch.tensor([prompt.token_ids])
    assert bundle.hybrid.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3).shape[0] == 1
