"""Where engines keep what is made once from a pair's weights: converted models, built graphs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """HYBRID_CACHE, else hybrid-bench in XDG_CACHE_HOME, else in ~/.cache.

    It need not exist, nor be writable; deleting it costs nothing but time.
    """
    if own := os.environ.get("HYBRID_CACHE"):
        return Path(own).expanduser()
    # The specification has relative paths in XDG_CACHE_HOME ignored.
    shared = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(shared) if Path(shared).is_absolute() else Path("~/.cache").expanduser()
    return root / "hybrid-bench"
