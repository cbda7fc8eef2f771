"""The markets that are watched: the file of them, and where new ones come from."""
