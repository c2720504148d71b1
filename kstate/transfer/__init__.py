"""A processor's journal in files and back: backup, and the way from one log to another."""
