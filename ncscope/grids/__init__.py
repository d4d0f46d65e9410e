"""A grid of tuning runs: which, where, and one at a time each, also after an end."""
