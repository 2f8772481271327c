"""Of the Benchmark page."""
