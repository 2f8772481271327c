"""The nouns: frozen, checked where they are made, standard library only."""

import dataclasses
import subprocess
import sys

import pytest

from hybrid.schema import PHASES, SYSTEMS, TASKS, Sampling, Step, Timing


def test_tasks_are_keyed_by_their_names_and_have_t5_prefixes():
    assert list(TASKS) == ["translate-en-de", "summarize"]
    assert all(name == task.name for name, task in TASKS.items())
    assert TASKS["translate-en-de"].prefix == "translate English to German: "
    assert TASKS["summarize"].prefix == "summarize: "


def test_names_of_systems_and_phases():
    assert SYSTEMS == ("llm", "slm", "hybrid")
    assert PHASES == ("tokenize", "encode", "project", "prefill", "decode", "detokenize")


@pytest.mark.parametrize("tokens", [0, -1])
def test_sampling_needs_room_for_a_token(tokens):
    with pytest.raises(ValueError, match=f"max_new_tokens is {tokens}"):
        Sampling(max_new_tokens=tokens)


def test_timing_derives_its_figures_from_raw_times():
    timing = Timing({"encode": 1.0, "prefill": 0.5, "decode": 2.0}, (1.5, 2.5, 3.5))
    assert (timing.total_s, timing.ttft_s, timing.tpot_s) == (3.5, 1.5, 1.0)


def test_one_token_has_no_time_per_output_token():
    assert Timing({"prefill": 1.0}, (1.0,)).tpot_s is None


def test_nouns_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Step("encode").phase = "decode"


def test_the_schema_needs_only_the_standard_library():
    code = "import sys, hybrid.schema; sys.exit(bool({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
