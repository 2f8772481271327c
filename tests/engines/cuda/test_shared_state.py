"""Sizes hold what they must with little padding, and only so much is kept."""

from dataclasses import dataclass

from hybrid.engines.cuda.shared_state import BATCHES, CAPACITIES, LENGTHS, LRUCache, bucket


def test_the_smallest_size_that_holds_a_request_is_taken():
    assert [bucket(n, BATCHES) for n in (1, 2, 3, 9, 32)] == [1, 2, 4, 16, 32]
    assert [bucket(n, CAPACITIES) for n in (1, 64, 65, 512)] == [64, 64, 128, 512]
    assert [bucket(n, LENGTHS) for n in (1, 32, 33, 129, 257, 513, 1024)] == [32, 32, 64, 160, 320, 640, 1024]
    assert [bucket(sizes[-1] + 1, sizes) for sizes in (BATCHES, CAPACITIES, LENGTHS)] == [None] * 3


def test_long_prompts_are_padded_by_a_fifth_at_the_most():
    assert list(LENGTHS) == sorted(set(LENGTHS))
    assert all(length % 32 == 0 for length in LENGTHS)
    assert max(1 - n / bucket(n, LENGTHS) for n in range(128, LENGTHS[-1] + 1)) <= 0.2
    assert len(LENGTHS) <= 16  # each is captured by itself


@dataclass
class Thing:
    nbytes: int


def test_what_was_not_used_for_longest_goes_first():
    cache, created = LRUCache[str, Thing](count=2, nbytes=100), []

    def get(name: str, nbytes: int = 10) -> Thing:
        return cache.get(name, lambda: created.append(name) or Thing(nbytes))

    first = get("a")
    get("b")
    assert get("a") is first
    get("c")  # the third: b goes
    assert (get("a"), created, len(cache)) == (first, ["a", "b", "c"], 2)
    get("b")
    assert created == ["a", "b", "c", "b"]
    assert get("huge", 1000).nbytes == 1000  # stays, alone
    assert (len(cache), cache.nbytes) == (1, 1000)
    get("a", 60)
    get("b", 60)  # together they are too large
    assert (len(cache), cache.nbytes) == (1, 60)


def test_things_can_be_dropped_by_key():
    cache = LRUCache[tuple[str, int], Thing](count=9, nbytes=100)
    for key in (("llm", 1), ("slm", 1), ("llm", 2)):
        cache.get(key, lambda: Thing(1))
    cache.drop(lambda key: key[0] == "llm")
    assert len(cache) == 1
    assert cache.get(("slm", 1), lambda: Thing(7)).nbytes == 1
