"""The ports on which services of a stack listen, as the user states them."""

from pathlib import Path

from cnmsim.lab.stack.default_topology import stack_lab


def test_the_ports_of_the_command_line_take_precedence_over_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.yml"
    path.write_text("services:\n  api:\n    image: acme/api\n    x-cnmsim: {listens: [8000]}\n", encoding="utf-8")
    lab = stack_lab([path], managers=1, workers=0, env={}, listens={"api": [9000]})
    assert [port.number for port in lab.images.hints.stated["shop/api"]] == [9000]
    lab = stack_lab([path], managers=1, workers=0, env={})
    assert [port.number for port in lab.images.hints.stated["shop/api"]] == [8000]
