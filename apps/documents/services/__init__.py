"""Writing documents: `adding`, `updating`, `metadata`, `chunks`, `parsing` (start and stop) and `deleting`.

`reembedding` changes the model of a whole dataset. The file manager is written by `files`, `file_deleting` and
`converting`. `verifying` looks for what does not fit together, `retention` forgets what is old. What several of them
need is in `rows` (locks and counters), `storing` (bytes) and `auditing`.

Whoever changes more than one row locks them in one order: the root of a tree, documents by their ids, their tasks,
their dataset. Several datasets follow one another by their ids, each with its documents before it. With another order
two transactions can wait for each other, and the database ends one of them.
"""
