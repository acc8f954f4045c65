"""The expectations that a recipe can name, in one module per concern."""
