"""What the pages about runs as a whole show: the list of them, their numbers, verdicts and comparisons."""
