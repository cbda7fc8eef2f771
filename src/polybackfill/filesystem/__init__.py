"""Files that change whole or not at all, and locks that end with the process that holds them."""
