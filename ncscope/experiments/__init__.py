"""Many runs together: tables, paired tests and correlations over them.

Reads what `analyze` and `tune` wrote; runs nothing on its own when imported.
"""
