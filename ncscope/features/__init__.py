"""A prompt learner and a data set, turned into arrays once.

`extract.extract` runs the model, `bundle.Features` holds the result, `bundle.read_features` and
`bundle.write_features` keep it in a file; `sources` says what SOURCE and DATA may name.
"""
