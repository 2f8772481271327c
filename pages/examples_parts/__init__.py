"""Of the Examples page."""
