"""Of the Overview page."""
