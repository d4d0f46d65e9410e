"""Measured runs become a report: the HTML page, the files beside it."""
