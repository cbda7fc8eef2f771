"""Reading and showing; nothing here steers."""
