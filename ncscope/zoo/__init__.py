"""CLIP models and prompt learners: a name or a file becomes a frozen model that gives features."""
