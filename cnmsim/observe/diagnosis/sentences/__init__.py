"""Render every cause, remark and change as a sentence.

Sentences are written only in this package, and no code parses them: verdicts, causes and fixes are objects. Each
module registers its renderers with `base.sentence`.
"""

from cnmsim.observe.diagnosis.sentences import (  # noqa: F401 - they register
    changes,
    connections,
    lookups,
    overlay,
    remarks,
    routes,
    services,
)
from cnmsim.observe.diagnosis.sentences.base import sentence

__all__ = ["sentence"]
