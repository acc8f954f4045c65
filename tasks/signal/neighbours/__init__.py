"""The nearest rows of every row, searched in its own cell and the cells next to it."""
