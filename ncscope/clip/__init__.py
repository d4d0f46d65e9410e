"""CLIP itself: weights, towers, tokens, templates, and zero-shot features."""
