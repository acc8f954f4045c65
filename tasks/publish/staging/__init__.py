"""Writing the data files of a coming version where no reader looks yet."""
