"""Go's text/template for values that are strings, numbers, booleans, maps and structs.

SwarmKit expands task specs, secrets and configs with it. Source: Go `text/template` (exec.go, funcs.go) and
`text/template/parse`.
"""

from cnmsim.gotemplate.execute import execute
from cnmsim.gotemplate.functions import Function, comparisons
from cnmsim.gotemplate.nodes import TemplateError
from cnmsim.gotemplate.values import Struct, Value

__all__ = ["Function", "Struct", "TemplateError", "Value", "comparisons", "execute"]
