"""Go's templates as the docker command, which is written in Go, fills them in."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from cnmsim.gotemplate import Function, Struct, TemplateError, execute

#: What `docker context inspect default` lets templates see, as far as these use it.
CONTEXT = Struct("context.contextWithTLSListing", {"Name": "default", "Endpoints": {"docker": "x"}})
FUNCTIONS = {
    "lower": Function(lambda text: str(text).lower(), 1, needs_strings=True),
    "upper": Function(lambda text: str(text).upper(), 1, needs_strings=True),
}
FILLED = {
    "{{with .Name}}{{.}}{{end}}": "default",
    '{{with ""}}x{{else}}none{{end}}': "none",
    "{{if true}}a{{else if false}}b{{else}}c{{end}}": "a",
    "{{if false}}a{{else if true}}b{{else}}c{{end}}": "b",
    "{{$x := 1}}{{$x = 2}}{{$x}}": "2",
    '{{range $key, $each := .Endpoints}}{{$key}} {{end}}{{define "x"}}<{{.}}>{{end}}{{template "x" .Name}}': (
        "docker <default>"
    ),
    "{{range $i := 3}}{{if eq $i 1}}{{continue}}{{end}}{{$i}}{{end}}": "02",
    "{{range 9}}{{if gt . 1}}{{break}}{{end}}{{.}}{{end}}": "01",
    'x {{- " y" -}} z{{/* unseen */}}': "x yz",
    '{{.Name | upper | printf "%-9s|%q|%05d" "ab" "c\\n"}}': 'ab       |"c\\n"|%!d(string=DEFAULT)',
    '{{printf "%s %s" "a"}} {{printf "%s" "a" 1}}': "a %!s(MISSING) a%!(EXTRA int=1)",
    '{{print 1 2 "a" "b" 3}}': "1 2ab3",
    '{{eq 1 2 1}} {{ne "a" "b"}} {{le 2 2}} {{and 1 0 2}} {{or "" "x"}} {{not 0}}': "true true true 0 x true",
    '{{len "é"}} {{slice "abcd" 1 3}} {{index "abc" 1}} {{len .Endpoints}}': "2 bc 98 1",
    "{{1.5}} {{1e3}} {{0x1F}} {{017}} {{1_000}} {{'a'}} {{true}}": "1.5 1000 31 15 1000 97 true",
    '{{html "<a>&"}} {{urlquery "a b/c"}} {{"\\x41\\u00e9\\101"}}': "&lt;a&gt;&amp; a+b%2Fc AéA",
}
REFUSED = (
    "{{",
    "{{if}}",
    "{{end}}",
    "{{foo}}",
    "{{if true}}x",
    '{{"a}}',
    "{{$x}}",
    "{{1 | 2}}",
    "{{(1}}",
    "{{1)}}",
    "{{/* a }}",
    "{{ .Name }",
    "{{if true}}{{else}}{{else}}{{end}}",
    "{{break}}",
    "{{'ab'}}",
    "{{1a}}",
    "{{.Nope}}",
    "a\n é{{.Nope}}",
    "{{.Name.x}}",
    "{{.Name 1}}",
    '{{template "x"}}',
    '{{define "x"}}{{.Nope}}{{end}}{{template "x" .}}',
    '{{eq 1 "a"}}',
    '{{slice "abc" 5}}',
    '{{printf "%d" | lower nope}}',
    "{{lower 1}}",
    '{{lower "A" "B"}}',
    '{{"a" "b"}}',
    "{{nil}}",
    '{{range "abc"}}{{end}}',
    "{{not}}",
)


def filled(text: str) -> str:
    return execute("", text, CONTEXT, FUNCTIONS)


@pytest.mark.parametrize("text", FILLED)
def test_a_template_is_filled_in(text: str) -> None:
    assert filled(text) == FILLED[text]


@pytest.mark.parametrize("text", [*FILLED, *REFUSED])
@pytest.mark.skipif(shutil.which("docker") is None, reason="needs Debian's docker-cli")
def test_the_docker_command_prints_the_same_or_refuses_in_the_same_words(text: str) -> None:
    command = ["docker", "context", "inspect", "default", "--format", text]
    docker = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        assert (docker.stdout.removesuffix("\n"), docker.returncode) == (filled(text), 0)
    except TemplateError as error:
        assert docker.stderr.strip() == f"template parsing error: {error}"


def test_a_key_that_a_map_lacks_is_an_error() -> None:
    with pytest.raises(TemplateError) as refused:
        execute("n", "{{.Endpoints.nope}}", CONTEXT, {})
    assert str(refused.value) == (
        'template: n:1:12: executing "n" at <.Endpoints.nope>: map has no entry for key "nope"'
    )


def test_what_a_function_complains_of_is_told_with_its_call() -> None:
    def refuse(_: object) -> str:
        raise TemplateError("secret target a not found")

    with pytest.raises(TemplateError) as refused:
        execute("expansion", '{{secret "a"}}', "", {"secret": Function(refuse, 1, needs_strings=True)})
    assert str(refused.value) == (
        'template: expansion:1:2: executing "expansion" at <secret "a">: error calling secret: secret target a not '
        "found"
    )
