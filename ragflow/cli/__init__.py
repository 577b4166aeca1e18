"""`ragflow-cli`: statements for this server, and for others with its API, over HTTP.

A line becomes tokens (`lexer`), tokens a statement (`grammar`), a statement calls (`admin`, `user`, `common`) through
one `client`, and what comes back is printed (`table`). Nothing here knows Django or the database.
"""
