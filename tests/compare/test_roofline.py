"""Measured times beside what the device allows."""

from dataclasses import replace

import pytest

from hybrid.compare import compare_runs
from hybrid.compare.results import results_by_system
from hybrid.compare.summary import roofline
from hybrid.schema import Ran
from tests.compare.fake import changed, make_run

RAN = {
    "llm": Ran(
        engine="torch",
        device="cpu",
        dtype="float32",
        options={},
        decode_bytes=80_000_000,
        encode_flops=4_000_000,
        attention_flops=1_000,
    )
}


def test_bound_share_and_rate_are_quotients_of_what_was_measured():
    stored = changed(make_run(n=7), ran=RAN, memory_bandwidth=10e9)
    bound = roofline(results_by_system(stored)["llm"])
    assert bound is not None
    assert bound.decode_bound_ms == pytest.approx(8.0)  # 80 MB at 10 GB/s
    llm = results_by_system(stored)["llm"]
    tpot_s = sorted(llm.all_times["tpot"])[3]
    assert bound.decode_bound_share == pytest.approx(0.008 / tpot_s)
    totals = sorted(record.generation.timing.total_s for record in llm.records)
    assert bound.encode_flops == 4_000_000 * 12 + 1_000 * 12**2
    assert bound.encode_flops_per_s == pytest.approx(bound.encode_flops / (0.05 * totals[3]))


def test_the_prompts_of_a_batch_are_read_at_once():
    stored = changed(make_run(n=8, batch_size=4), ran=RAN, memory_bandwidth=10e9)
    bound = roofline(results_by_system(stored)["llm"])
    assert bound is not None
    assert bound.encode_flops == 4 * (4_000_000 * 12 + 1_000 * 12**2)


@pytest.mark.parametrize("known", [{"ran": RAN}, {"memory_bandwidth": 10e9}, {}])
def test_what_is_not_known_is_not_guessed(known):
    stored = changed(make_run(n=3), **known)
    assert roofline(results_by_system(stored)["llm"]) is None
    assert compare_runs([stored]).systems[0].summary.roofline is None


def test_a_run_without_a_reading_phase_has_no_rate():
    stored = changed(make_run(n=3), ran=RAN, memory_bandwidth=10e9)
    bare = [
        replace(
            r, generation=replace(r.generation, timing=replace(r.generation.timing, phases={"decode": 1.0}))
        )
        for r in stored.records
    ]
    bound = roofline(results_by_system(replace(stored, records=tuple(bare)))["llm"])
    assert bound is not None
    assert bound.encode_flops_per_s is None


def test_a_model_whose_prefill_takes_the_prompt_reads_in_no_phase_of_its_own():
    ran = {"llm": replace(RAN["llm"], encode_flops=0, attention_flops=0)}
    bound = roofline(results_by_system(changed(make_run(n=3), ran=ran, memory_bandwidth=10e9))["llm"])
    assert bound is not None
    assert (bound.encode_flops, bound.encode_flops_per_s) == (None, None)
