"""Go's text/template, as far as its values are texts, numbers, maps and structs: what SwarmKit fills specs and payloads in with.

Source: Go `text/template` (exec.go, funcs.go) and `text/template/parse`.
"""

from cnmsim.gotemplate.execute import execute
from cnmsim.gotemplate.functions import Function
from cnmsim.gotemplate.nodes import TemplateError
from cnmsim.gotemplate.values import Struct, Value

__all__ = ["Function", "Struct", "TemplateError", "Value", "execute"]
