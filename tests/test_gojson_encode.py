"""JSON text as Go's encoder writes it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from cnmsim.gojson.encode import encode

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def test_html_line_ends_and_invalid_text_are_escaped_as_in_go() -> None:
    assert encode({"b": "<&>\u2028é\n\t", "a": 1}) == r'{"b":"\u003c\u0026\u003e\u2028é\n\t","a":1}'
    assert encode("<&>\u2029", escape_html=False) == r'"<&>\u2029"'
    assert encode("\udc80\ud800") == r'"\ufffd\ufffd"'


@given(value=VALUES)
def test_what_is_encoded_reads_back_and_has_no_html(value: object) -> None:
    text = encode(value)
    assert json.dumps(json.loads(text)) == json.dumps(value)  # so that True is not taken for 1
    assert not set(text) & set("<>&\u2028\u2029")
