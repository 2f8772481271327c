"""Where the time goes: the mean time of each phase, which sum to the mean time of an answer."""

from collections.abc import Mapping

import pandas as pd

from hybrid.schema import PHASES, Phase


def phase_means(answers: pd.DataFrame) -> Mapping[Phase, float]:
    """Milliseconds of each phase that one system went through, by phase, in order.

    Means, not medians: only they sum to the total. answers: of one system, with
    the columns of hybrid.presentation.views.answers. The answers of a batch share its times,
    which count once.
    """
    once = answers.drop_duplicates("position")
    means = {phase: float(once[f"{phase}_ms"].fillna(0.0).mean()) for phase in PHASES}
    return {phase: mean for phase, mean in means.items() if mean > 0}
