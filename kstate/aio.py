"""kstate for asyncio: ``async with kstate.aio.connect("sqlite:bank.db") as k: …``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kstate import wiring
from kstate.async_client import AsyncClient, AsyncEvents


def connect(
    url: str,
    *,
    prefix: str = "",
    kafka: Mapping[str, str] | None = None,
    schema_registry: str | Mapping[str, str] | None = None,
    index: str | Path | None = None,
) -> AsyncClient:
    """A client for asyncio of the log at ``url``; see `kstate.connect`."""
    return AsyncClient(
        wiring.connect(
            url, prefix=prefix, kafka=kafka, schema_registry=schema_registry, index=index
        )
    )


__all__ = ["AsyncClient", "AsyncEvents", "connect"]
