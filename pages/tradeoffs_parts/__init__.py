"""Of the Trade-offs page."""
