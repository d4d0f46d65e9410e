"""Numbers and arrays become plotly figures."""
