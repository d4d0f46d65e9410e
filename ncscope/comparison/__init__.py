"""Many runs together: tables, paired tests and correlations over them."""
