"""A benchmark from a plan to a stored run."""
