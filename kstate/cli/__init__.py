"""The command line ``kstate``: one module per command."""
