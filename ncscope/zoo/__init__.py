"""CLIP models and prompt learners: a name or a file becomes a frozen model that gives features.

`base.PromptedClip` is what every learner offers, `backbone.load_backbone` reads a CLIP model,
`zero_shot.ZeroShot` is the learner that has learned nothing.
"""
