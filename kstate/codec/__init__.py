"""Bytes to dataclasses and back: Avro by default."""
