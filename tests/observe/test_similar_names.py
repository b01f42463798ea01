"""Which service an unknown name probably means: by image, alias or spelling."""

import pytest

from cnmsim import Lab
from cnmsim.errors import NotFound
from cnmsim.observe.inventory import inventory, inventory_text


@pytest.fixture(scope="module")
def lab() -> Lab:
    services = {
        "app": {"image": "nginx"},
        "db": {"image": "docker.io/library/postgres:17"},
        "store": {"image": "mongo:7", "networks": {"default": {"aliases": ["documents"]}}},
        "adminer": {"image": "adminer", "profiles": ["tools", "debug"]},
    }
    return Lab.from_compose({"services": services})


@pytest.mark.parametrize(
    ("asked", "port", "meant"),
    [
        ("postgres", 5432, "db"),
        ("mongodb", 27017, "store"),
        ("document", 27017, "documents"),
        ("stor", 27017, "store"),
    ],
)
def test_a_name_that_is_unknown_is_fixed_by_the_one_that_is_meant(
    lab: Lab, asked: str, port: int, meant: str
) -> None:
    walk = lab.trace("app", f"{asked}:{port}")
    assert walk.fix_text() == ("fix", f"use {meant}")


def test_an_unknown_source_is_answered_with_the_service_of_that_image(lab: Lab) -> None:
    with pytest.raises(NotFound, match=r"did you mean db \(image postgres\)\?"):
        lab.trace("postgres", "app:80")


def test_a_service_of_an_inactive_profile_is_listed_with_its_options(lab: Lab) -> None:
    assert inventory(lab)["inactive"] == {"adminer": ["tools", "debug"]}
    assert "adminer     --profile tools or --profile debug" in inventory_text(lab)
