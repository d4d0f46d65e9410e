"""A report's headlines, every epoch, in the log of a trainer: Lightning's, transformers', Dassl's.

Each file needs the library that it is named after, and nothing else here imports it.
"""
