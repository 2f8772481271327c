"""Of the Live page."""
