"""The demo: every departure from New York in 2013, through one persistent process per aircraft.

`make demo` runs it.  A worker process is fed, killed in the middle, started again, and asked; what
it says is compared, figure by figure, with a plain pass over the same file.
"""
