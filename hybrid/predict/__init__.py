"""Predicted latency, memory and cost of a pair of any two sizes: nothing here is measured.

    Profile (what `hybrid device` measured) + two shapes + a request -> Predicted

A profile says what each kind of work costs on a device (terms.py says which
kinds there are); shapes say how much of it there is. Nothing here but
calibration.py, which makes profiles, runs a model or imports torch.
"""

from hybrid.predict.break_even import LONGEST, BreakEven, break_even
from hybrid.predict.error import ErrorReport, Spread, error_report, fits, fitting_grid
from hybrid.predict.needs import Needs, cost_per_million_tokens, needs
from hybrid.predict.profile import Costs, Profile, load_profile, profile_names, save_profile
from hybrid.predict.request import Pair, Predicted, Request, predict, predicted

__all__ = [
    "LONGEST",
    "BreakEven",
    "Costs",
    "ErrorReport",
    "Needs",
    "Pair",
    "Predicted",
    "Profile",
    "Request",
    "Spread",
    "break_even",
    "cost_per_million_tokens",
    "error_report",
    "fits",
    "fitting_grid",
    "load_profile",
    "needs",
    "predict",
    "predicted",
    "profile_names",
    "save_profile",
]
