"""Images and class names: where they come from, in which order, and what they are called.

`images.open_images` makes an `images.ImageSet` of a folder or a table; `classes` matches, orders
and halves its classes by name.
"""
