"""Style pairs without a style image: one description of a style, two contents, drawn by any text-to-image model."""
