"""The chunked losses are torch's own losses over the full logits, and so are their gradients."""

import pytest
import torch
from torch.nn import functional as F

from hybrid.training import losses
from hybrid.training.losses import IGNORED, Head, token_losses
from hybrid.training.models import untrained
from hybrid.training.parts import Shape
from tests.models.tiny import tiny_model

N, V, D, D_TEACHER = 23, 31, 6, 9


@pytest.fixture(params=[5, 23, 8192], ids="chunk={}".format)
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK_TOKENS", request.param)


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """states (N, D), weight (V, D), labels (N,) with some not scored."""
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(N, D, generator=generator).requires_grad_()
    weight = torch.randn(V, D, generator=generator).requires_grad_()
    labels = torch.randint(V, (N,), generator=generator)
    labels[::4] = IGNORED
    labels[5:10] = IGNORED  # a chunk of 5 with nothing to score
    return states, weight, labels


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_and_its_gradient(case, smoothing: float) -> None:
    states, weight, labels = case
    scale = 0.37
    sums = token_losses(states, labels, Head(weight, scale), smoothing)
    logits = (states * scale) @ weight.T
    smoothed = F.cross_entropy(logits, labels, ignore_index=-100, label_smoothing=smoothing, reduction="sum")
    plain = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
    torch.testing.assert_close(sums, torch.stack([smoothed, plain, torch.zeros(())]))
    for index, expected in enumerate([smoothed, plain]):
        gradients = torch.autograd.grad(sums[index], [states, weight], retain_graph=True)
        expected_gradients = torch.autograd.grad(expected, [states, weight], retain_graph=True)
        torch.testing.assert_close(gradients, expected_gradients)


@pytest.mark.usefixtures("_chunks")
def test_kl_from_the_teacher_and_its_gradient(case) -> None:
    states, weight, labels = case
    generator = torch.Generator().manual_seed(4)
    taught = torch.randn(N, D_TEACHER, generator=generator)
    teacher = Head(torch.randn(V, D_TEACHER, generator=generator), 0.5)
    kl = token_losses(states, labels, Head(weight, 1.0), 0.1, taught, teacher)[2]
    scored = labels != IGNORED
    log_q = ((taught * 0.5) @ teacher.weight.T).log_softmax(-1)
    log_p = (states @ weight.T).log_softmax(-1)
    expected = F.kl_div(log_p[scored], log_q[scored], reduction="sum", log_target=True)
    torch.testing.assert_close(kl, expected)
    assert kl > 1
    gradients = torch.autograd.grad(kl, [states, weight], retain_graph=True)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, [states, weight]))


def test_kl_to_itself_is_zero(case) -> None:
    states, weight, labels = case
    head = Head(weight, 0.7)
    assert token_losses(states, labels, head, 0.0, states.detach(), head)[2].abs() < 1e-5


def test_only_one_chunk_of_logits_exists(case, monkeypatch: pytest.MonkeyPatch) -> None:
    states, weight, labels = case
    monkeypatch.setattr(losses, "CHUNK_TOKENS", 5)
    sizes: list[int] = []
    logits_of = Head.logits
    monkeypatch.setattr(Head, "logits", lambda self, s: (sizes.append(len(s)), logits_of(self, s))[1])
    token_losses(states, labels, Head(weight, 1.0), 0.0).sum().backward()
    assert max(sizes) == 5
    assert sum(sizes) == 2 * N  # once forward, once again backward


@pytest.mark.parametrize("family", ["t5", "bart", "marian", "t5gemma", "gpt2", "llama", "gemma3_text"])
def test_a_head_gives_the_logits_of_its_model(family: str) -> None:
    model = tiny_model(family)
    ids = {"input_ids": torch.tensor([[5, 6, 7]])}
    if model.config.is_encoder_decoder:
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
        ids["decoder_input_ids"] = torch.tensor([[0, 8, 9]])
    with torch.no_grad():
        output = model(**ids, output_hidden_states=True)
    states = output.decoder_hidden_states if model.config.is_encoder_decoder else output.hidden_states
    torch.testing.assert_close(Head.of(model).logits(states[-1]), output.logits, rtol=1e-4, atol=1e-4)


def test_a_tied_t5_head_is_scaled() -> None:
    model = untrained(Shape(16, 32, 2, 1, d_kv=8), 40)
    head = Head.of(model)
    assert head.scale == 0.25
    assert head.weight is model.shared.weight
    model.config.scale_decoder_outputs = False
    assert Head.of(model).scale == 1.0
