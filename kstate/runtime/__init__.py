"""What drives the core and the ports: the worker's loop and what belongs to it."""
