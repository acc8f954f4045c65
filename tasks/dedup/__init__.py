"""Which rows stand for one another: excluded, exact, near and semantic duplicates, each naming the row that is kept."""
