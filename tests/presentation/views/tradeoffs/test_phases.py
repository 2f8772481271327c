"""Mean times of phases, which sum to the mean time."""

import numpy as np
import pandas as pd
import pytest

from hybrid.presentation.views.tradeoffs.phases import phase_means
from hybrid.schema import PHASES


def frame(rows: list[dict[str, float]]) -> pd.DataFrame:
    columns = ["position", *(f"{phase}_ms" for phase in PHASES)]
    return pd.DataFrame(rows, columns=columns).astype(float)


def test_means_sum_to_the_mean_total_where_some_answers_lack_a_phase():
    found = phase_means(
        frame([{"position": 0, "encode_ms": 2, "decode_ms": 10}, {"position": 1, "encode_ms": 4}])
    )
    assert found == {"encode": 3.0, "decode": 5.0}
    assert sum(found.values()) == pytest.approx(np.mean([12, 4]))
    assert list(found) == ["encode", "decode"]


def test_a_batch_counts_once_however_many_answers_it_has():
    batch = [{"position": 0, "decode_ms": 30.0}] * 3
    assert phase_means(frame([*batch, {"position": 1, "decode_ms": 10.0}])) == {"decode": 20.0}
