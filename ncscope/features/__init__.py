"""A prompt learner and a data set, turned into arrays once."""
