"""The bars that the engines are held to, measured and printed as one table: `python -m tests.bars`."""
