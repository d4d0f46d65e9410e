"""The embedded toy world: rendered scenes, tasks on them, and a small CLIP trained on them.

It is a toy. Its text cone and modality gap are installed after training, not learned, and nothing
measured on it is a claim about CLIP: it is here so that every command runs offline in seconds.
"""
