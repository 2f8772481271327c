"""Of the Pairings page."""
