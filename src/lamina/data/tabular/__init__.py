"""Files in rows and columns, whatever the columns hold: reading, types of columns, targets."""
