"""Models of Hugging Face's `transformers` as backbones, from their files alone, read as data."""
