"""Every failure the product reports, as one short tree.

HybridError
├── InputError       the prompt cannot be answered as given
│   └── PromptTooLong    more tokens than the model reads
├── PairError        a pair of models is unknown, incomplete or damaged
├── PlanError        a plan's file cannot be read or says what cannot be
├── SuiteError       a suite is unknown, unreadable or of another task
├── StoreError       stored results cannot be read or written
├── BusyError        another measurement is running on this machine
├── MeasurementError what was timed cannot be trusted
├── RecipeError      a training recipe is wrong or names a missing file
└── EngineError      an engine cannot run here

A message says what was given, what is available and how to mend it, in one
or two plain sentences: it is shown to people as it stands.
"""


class HybridError(Exception):
    """Base of all errors that carry a sentence for the user."""


class InputError(HybridError):
    """The prompt cannot be answered as given."""


class PromptTooLong(InputError):
    """The prompt has more tokens than the model reads."""

    def __init__(self, tokens: int, limit: int, prompt: str = "The prompt") -> None:
        super().__init__(
            f"{prompt} has {tokens} tokens and the model reads at most {limit}. "
            "Shorten it, or ask for truncation to keep only its beginning."
        )
        self.tokens = tokens
        self.limit = limit


class PairError(HybridError):
    """A pair of models is unknown, incomplete or damaged."""


class PlanError(HybridError):
    """A plan's file cannot be read, or says what cannot be."""


class SuiteError(HybridError):
    """A suite is unknown, unreadable or of another task."""


class StoreError(HybridError):
    """Stored results cannot be read or written."""


class BusyError(HybridError):
    """Another measurement is running on this machine."""


class MeasurementError(HybridError):
    """What was timed cannot be trusted."""


class RecipeError(HybridError):
    """A training recipe is wrong or names a missing file."""


class EngineError(HybridError):
    """An engine cannot run here."""
