"""Snapshots at hand: a local copy of the snapshots topic, one partition at a time."""
