"""Document metadata: what may be asked of it, and how it is found.

`comparison` compares one value, `condition` reads what a client asks for, `index` says what is stored of a value so
that it can be found, `translation` puts a comparison in the words of the database, `filtering` and `summary` read the
index. `apps.documents.services.metadata` writes it.
"""
