"""Writing documents: `adding`, `updating`, `metadata`, `chunks`, `parsing` (start and stop) and `deleting`; and the file
manager: `files`, `file_deleting` and `converting`.

Whoever changes more than one row locks them in one order: the root of a tree of files, document, its tasks, its dataset.
"""
