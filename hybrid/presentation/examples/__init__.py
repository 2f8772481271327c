"""A run by example: every answer as a row, found, filtered, put in order, laid side by side."""
