"""Writing documents, their chunks and their metadata, and the files of the file manager.

Whoever changes more than one row locks them in one order: document, its tasks, its dataset. Chunks change under their
document's lock (`rows`), so counters and store agree.
"""
