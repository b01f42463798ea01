"""Render every cause, remark and change as a sentence.

Sentences are written only in this package, and no code parses them: verdicts, causes and fixes are objects. Each
module has the sentences for one module of causes, or for changes.
"""

from cnmsim.observe.diagnosis.sentences.base import sentence

__all__ = ["sentence"]
