"""What the lab is: its model, its loader and its version pins."""
