"""Neural-collapse diagnosis and correction for prompt-tuned CLIP models."""

__version__ = "0.1.0"
