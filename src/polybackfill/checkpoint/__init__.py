"""The checkpoint folder: which units are open, failed or done, as far as the disk holds it."""
