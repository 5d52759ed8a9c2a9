"""Processes that share nothing but what is on disk or on a server."""

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
"""Starts processes that import the packages of the tests once, and not each of them."""

CONTEXT.set_forkserver_preload(
    ["pytest", "hypothesis", "redis", "valkey", "sqlalchemy.ext.asyncio", "coatcheck.storage"]
)
