"""What a stage computes: T5's own loss, a teacher that only teaches, an LLM that only reads."""

import pytest
import torch
from torch.nn import functional as F

from hybrid.models.pair import Hybrid
from hybrid.training.batches import Batch
from hybrid.training.models import untrained
from hybrid.training.parts import Shape
from hybrid.training.recipe import Stage
from hybrid.training.stage_module import StageModule, shift_right

V = 50
LARGE, SMALL = Shape(32, 64, 2, 2, d_kv=16), Shape(16, 32, 2, 1, d_kv=8)
PLAIN = Stage("s", "slm", 1)
TAUGHT = Stage("h", "hybrid", 1, reads_with="llm", teacher="llm", kl_weight=0.25)


@pytest.fixture
def batch() -> Batch:
    """source, mask, labels and places of 3 rows; the last row has one token on each side."""
    generator = torch.Generator().manual_seed(5)
    source = torch.randint(3, V, (3, 9), generator=generator)
    labels = torch.randint(3, V, (3, 6), generator=generator)
    for row, (s, t) in enumerate([(9, 6), (5, 3), (1, 1)]):
        source[row, s:], labels[row, t:] = 0, -100
    return Batch(source, source.ne(0).long(), labels, torch.arange(3))


@pytest.fixture
def models():
    torch.manual_seed(6)
    return untrained(LARGE, V), untrained(SMALL, V)


@pytest.mark.parametrize("which", [0, 1], ids=["large", "small"])
def test_plain_loss_is_t5s_own(batch, models, which: int) -> None:
    source, mask, labels, _ = batch
    model = models[which].eval()
    losses = StageModule(PLAIN, model, None).eval()(*batch)
    output = model(input_ids=source, attention_mask=mask, labels=labels)
    torch.testing.assert_close(losses[2], output.loss)
    smoothed = F.cross_entropy(output.logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)
    torch.testing.assert_close(losses[1], smoothed)
    assert losses[0] == losses[1]
    assert losses[3] == 0


def test_hybrid_losses_are_those_of_the_full_logits(batch, models) -> None:
    source, mask, labels, _ = batch
    llm, slm = models
    pair = Hybrid.from_parts(llm, slm)
    losses = StageModule(TAUGHT, pair, llm).eval()(*batch)
    written = pair(input_ids=source, attention_mask=mask, labels=labels)
    taught = llm(input_ids=source, attention_mask=mask, labels=labels).logits
    scored = labels != -100
    log_p, log_q = written.logits[scored].log_softmax(-1), taught[scored].log_softmax(-1)
    kl = F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    torch.testing.assert_close(losses[2], written.loss)
    torch.testing.assert_close(losses[3], kl)
    torch.testing.assert_close(losses[0], 0.75 * losses[1] + 0.25 * losses[3])


def test_a_hybrid_reads_with_its_own_llm_not_with_another_teacher(batch, models) -> None:
    source, mask, labels, _ = batch
    llm, slm = models
    pair = Hybrid.from_parts(llm, slm)
    stage = Stage("h", "hybrid", 1, reads_with="llm", teacher="other", kl_weight=0.25)
    losses = StageModule(stage, pair, untrained(LARGE, V)).eval()(*batch)
    torch.testing.assert_close(losses[2], pair(source, mask, labels=labels).loss)


def test_no_gradient_reaches_llm_or_teacher(batch, models) -> None:
    llm, slm = models
    pair = Hybrid.from_parts(llm, slm)
    module = StageModule(TAUGHT, pair, llm).train()
    module(*batch)[0].backward()
    assert all(p.grad is None and not p.requires_grad for p in llm.parameters())
    assert all(p.grad is None for p in pair.llm.parameters())
    trained = pair.trainable()
    assert all(p.grad is not None for p in trained.values())
    assert any(name.startswith("projector.") for name in trained)
    assert pair.projector.up.weight.grad.abs().sum() > 0


def test_llm_and_teacher_stay_in_eval_mode(models) -> None:
    llm, slm = models
    pair = Hybrid.from_parts(llm, slm)
    module = StageModule(TAUGHT, pair, llm)
    module.eval()
    module.train()
    frozen = [*llm.modules(), *pair.llm.modules()]
    assert not any(part.training for part in frozen)
    assert slm.training
    assert pair.projector.training


def test_kl_of_a_student_identical_to_the_teacher_is_zero(batch, models) -> None:
    llm, slm = models
    twin = untrained(LARGE, V)
    twin.load_state_dict(llm.state_dict())
    stage = Stage("s", "llm", 1, teacher="llm", kl_weight=0.5)
    assert StageModule(stage, twin, llm).eval()(*batch)[3].abs() < 1e-5
    assert StageModule(stage, slm, llm).eval()(*batch)[3] > 0.01


def test_padding_does_not_change_the_loss(batch, models) -> None:
    source, mask, labels, _ = batch
    module = StageModule(PLAIN, models[1], None).eval()
    wider = [F.pad(source, (0, 4)), F.pad(mask, (0, 4)), F.pad(labels, (0, 3), value=-100), batch.rows]
    torch.testing.assert_close(module(*wider), module(*batch))


def test_shift_right() -> None:
    labels = torch.tensor([[7, 8, 1], [9, 1, -100], [1, -100, -100]])
    assert shift_right(labels, 5).tolist() == [[5, 7, 8], [5, 9, 1], [5, 1, 0]]
