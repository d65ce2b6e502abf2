"""The generated pages of the reference say what the code says; `make docs` brings them up to date."""

import re

import pytest

from breezeblock.api.routes import ROUTES
from breezeblock.core.versions import V
from breezeblock.resources import catalogue
from tools import generate_docs


@pytest.mark.parametrize("name", generate_docs.PAGES)
def test_the_page_is_current(name: str) -> None:
    assert (generate_docs.REFERENCE / name).read_text() == generate_docs.PAGES[name](), "run `make docs`"


def test_every_page_that_says_it_is_made_is_made() -> None:
    marked = {page.name for page in generate_docs.REFERENCE.glob("*.md") if page.read_text().startswith(generate_docs.NOTE)}
    assert marked == {name for name, page in generate_docs.PAGES.items() if page().startswith(generate_docs.NOTE)} != set()


def test_every_microversion_has_its_line() -> None:
    assert re.findall(r"^\| (3\.\d+) ", generate_docs.microversions(), re.MULTILINE) == [str(version) for version in V]


def test_every_route_has_its_line() -> None:
    assert len(re.findall(r"^\| (?:GET|POST|PUT|PATCH|DELETE) ", generate_docs.routes(), re.MULTILINE)) == len(ROUTES)


def test_every_verb_with_a_status_stands_in_a_diagram() -> None:
    page = generate_docs.states()
    for verb in catalogue.registry().verbs.values():
        assert f"`{verb.name}`" in page
        if verb.transition.via is not None:
            assert f"--> {verb.transition.via}: {verb.name.partition('.')[2]}\n" in page
