"""Formats of the Engine API: request schemas, query parameters, filters, timestamps, ports."""
