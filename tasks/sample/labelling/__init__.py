"""Choose the rows that people label next: by what is labelled, and by a model of it."""
