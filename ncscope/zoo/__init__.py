"""A checkpoint and a CLIP become a learner that gives features."""
