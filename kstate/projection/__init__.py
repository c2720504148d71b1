"""What follows a journal: projections into a database, and handlers that reach the outside world.

A projection's offsets commit in the same database transaction as its rows: exactly once.  A handler
commits its progress after it has returned: at least once.
"""
