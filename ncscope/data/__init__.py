"""Images and class names: where they come from, in which order, and what they are called.

`images.open_images` makes an `images.ImageSet` of a folder or a table, `open_known.open_known` of a
data set in CoOp's layout, `objects.images_of` of a torchvision or Hugging Face object; `classes`
matches, orders and halves its classes by name; `draw.draw_training` draws what is trained on.
"""
