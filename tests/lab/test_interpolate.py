"""Variables in Compose files and files of variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.errors import FileError
from cnmsim.lab.compose.dotenv import read_env_file
from cnmsim.lab.compose.interpolate import Variables

SET = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("$SET", "value"),
        ("${SET}", "value"),
        ("a-${SET}-b", "a-value-b"),
        ("$$SET", "$SET"),
        ("$${SET}", "${SET}"),
        ("${UNSET:-x}", "x"),
        ("${UNSET-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${SET:+x}", "x"),
        ("${EMPTY:+x}", ""),
        ("${EMPTY+x}", "x"),
        ("${UNSET+x}", ""),
        ("${SET:?no}", "value"),
        ("${EMPTY?no}", ""),
        ("${UNSET:-${SET}}", "value"),
        ("${UNSET:-${OTHER:-deep}}", "deep"),
        ("${UNSET:-http://a:80/}", "http://a:80/"),
        ("$UNSET.", "."),
        ("${SET}${SET}", "valuevalue"),
        ("$", "$"),
        ("x$(date) $1 $-", "x$(date) $1 $-"),
        ("^(a|b)?$", "^(a|b)?$"),
    ],
)
def test_a_variable_stands_for_its_value(template: str, text: str) -> None:
    assert Variables(SET).substitute(template) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("${UNSET:?set it}", "required variable UNSET is missing a value: set it"),
        ("${EMPTY:?}", "required variable EMPTY is missing a value"),
        ("${UNSET?${SET} missing}", "required variable UNSET is missing a value: value missing"),
        ("${", "invalid interpolation format: '${'"),
        ("${}", "invalid interpolation format: '${}'"),
        ("${1A}", "invalid interpolation format: '${1A}'"),
        ("${SET!x}", "invalid interpolation format: '${SET!x}'"),
    ],
)
def test_a_wrong_template_or_a_missing_value_is_an_error(template: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Variables(SET).substitute(template)
    assert str(caught.value) == message


def test_unset_variables_are_remembered() -> None:
    variables = Variables(SET)
    variables.substitute("$A ${SET} ${B:-x} ${A} $C")
    assert variables.unset == ["A", "C"]


@given(st.text(alphabet="${}:-?+AB ", max_size=40))
def test_any_template_is_a_text_or_a_value_error(template: str) -> None:
    try:
        Variables({"A": "1"}).substitute(template)
    except ValueError:
        return


def test_env_files_have_quotes_comments_and_references(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# comment\nA=1\nexport B = two words  # said\nC='$A "
        'raw\'\nD="${A}\\n2"\nE=${OUTER}-${A}\nF=\nOUTER\nUNKNOWN\n'
        'G="a\nb"\n'
    )
    assert read_env_file(path, {"OUTER": "o"}) == {
        "A": "1", "B": "two words", "C": "$A raw", "D": "1\n2", "E": "o-1", "F": "", "OUTER": "o", "G": "a\nb",
    }  # fmt: skip


def test_a_wrong_line_of_an_env_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n\n=2\n")
    with pytest.raises(FileError, match=r"\.env:3: unexpected text"):
        read_env_file(path, {})
