"""Reading the journal: events by id, tag and type, current or live, and the states they make.

A query is a reader over the journal.  What it looks for stands in keys and headers, so that a
record which does not match is never decoded.
"""
