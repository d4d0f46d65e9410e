"""Pickles read as data: `reading.read_pickle` builds containers, numbers and text; nothing runs.

Checkpoints and few-shot lists are pickles; both readers stand on this package.
"""
