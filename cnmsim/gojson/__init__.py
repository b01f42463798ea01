"""JSON with the types and the error texts of Go's `encoding/json`."""
