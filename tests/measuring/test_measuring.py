"""The collector rests in a block and works again after it, whatever ends it."""

import gc
from contextlib import suppress

from hybrid.measuring import collector_off, settled_heap


def test_nothing_is_collected_in_the_block():
    with suppress(KeyError), collector_off():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_what_is_there_is_left_alone_in_the_block():
    gc.unfreeze()
    lists = [[] for _ in range(10)]
    with suppress(KeyError), settled_heap():
        assert gc.get_freeze_count() > len(lists)
        raise KeyError
    assert gc.get_freeze_count() == 0


def test_blocks_may_overlap_as_those_of_threads_do():
    first, second = collector_off(), collector_off()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()
