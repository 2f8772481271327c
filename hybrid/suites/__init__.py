"""Examples to measure on and to train on, read from files."""
