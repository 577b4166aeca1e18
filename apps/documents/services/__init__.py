"""Writing documents: `adding`, `updating`, `metadata`, `chunks`, `parsing` (start and stop) and `deleting`.

The file manager is written by `files`, `file_deleting` and `converting`.

Whoever changes more than one row locks them in one order: the root of a tree, document, its tasks, its dataset.
"""
