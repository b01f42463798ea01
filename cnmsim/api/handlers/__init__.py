"""Handlers for operations that a single function call cannot answer.

They stream, hijack the connection, or depend on the clock.
"""
