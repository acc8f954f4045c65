"""What can be counted in a text: words, lines, repetition, and the published rules made of these."""
