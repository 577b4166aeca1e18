"""The endpoints whose answer ends and waits for no model. The others are in `streams`."""
