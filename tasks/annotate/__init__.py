"""What a trainer follows besides the rows of a version: columns made after the draw, such as splits and an order."""
