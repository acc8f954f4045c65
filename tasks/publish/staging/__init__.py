"""The files of a coming version, written where no reader finds them yet."""
