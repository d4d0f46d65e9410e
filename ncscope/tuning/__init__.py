"""Prompts are learned: one run from its options to its files."""
