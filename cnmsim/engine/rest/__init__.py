"""The operations of Docker's Engine API, one method each, without HTTP.

The arguments of a method are those of the API: ids, query parameters, JSON bodies as Python objects, and the client's
API version. A method returns the body of the answer; if the operation takes time, it returns a coroutine or `Future`
of the body. Errors are `EngineError`s with the engine's text and status.
"""
