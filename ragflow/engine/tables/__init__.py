"""Questions to spreadsheets, answered by SQL.

The ingest votes the types of the columns (`columns`) and packs the rows (`packing`). For a question, `asking` lets a
model write a SELECT, or `lookup` reads a plain question without one; `query` makes it fit for SQLite, `sandbox` runs it
over a copy of the rows, and `answer` shows the result as a Markdown table.
"""
