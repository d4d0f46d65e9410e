"""Images and class names: where they come from, in which order, and what they are called."""
