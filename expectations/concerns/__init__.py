"""Our expectations, by what they are about; a class that stands here is one that a recipe can name."""
