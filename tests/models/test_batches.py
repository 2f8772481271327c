import torch

from hybrid.models.batches import by_length, padded

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12], [13, 14], [15]]


def test_every_prompt_comes_once_the_shortest_first_padded_to_the_longest_of_its_batch() -> None:
    batches = list(by_length(PROMPTS, lambda _: 2))
    assert [places for places, _ in batches] == [[1, 4], [3, 0], [2]]
    assert [ids.tolist() for _, ids in batches] == [[[8], [15]], [[13, 14, 0], [5, 6, 7]], [[9, 10, 11, 12]]]


def test_the_size_of_a_batch_follows_its_shortest_prompt() -> None:
    batches = by_length(PROMPTS, {1: 3, 3: 1, 4: 1}.__getitem__)
    assert [places for places, _ in batches] == [[1, 4, 3], [0], [2]]


def test_no_prompt_gives_no_batch() -> None:
    assert list(by_length([], lambda _: 1)) == []


def test_padding_is_zero_at_the_end() -> None:
    assert torch.equal(padded([[1], [2, 3]]), torch.tensor([[1, 0], [2, 3]]))
