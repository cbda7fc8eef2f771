"""What the program takes for granted about the API, and whether it still holds."""
