"""Handlers for operations that need more than a call of one function.

They stream, hijack the connection, or depend on the clock.
"""
