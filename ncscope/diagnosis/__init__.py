"""Feature arrays become numbers: every measure with bounds, intervals, classes and words."""
