"""The operations of Docker's Engine API, one method each, without HTTP.

A method takes what the API takes: ids, query parameters, JSON bodies as Python objects, the API version of the
client. It returns the body of the answer, or a coroutine or `Future` of it where the operation takes time. Errors are
`EngineError`s with the engine's text and status.
"""
