"""Training of prompt learners: recipes, the NPT objective, batches, steps and saved states.

Imports point down from here to features, zoo, data and metrics; `report` stands beside.
"""
