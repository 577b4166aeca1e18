"""Writing documents: `adding`, `parsing` (start and stop) and `deleting`.

Whoever changes more than one row locks them in one order: document, its tasks, its dataset.
"""
