"""The progress of a measurement, for whoever watches it."""
