"""A story: a deployment on the test's database, spoken to over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.story import Person, Story


@pytest.fixture
def story(database: str, tmp_path: Path) -> Iterator[Story]:
    """The deployment."""
    made = Story(database, tmp_path, migrated=True)
    yield made
    made.store.dispose()


@pytest.fixture
def user(story: Story) -> Person:
    """A member of project p, at the newest microversion."""
    return story.person()


@pytest.fixture
def admin(story: Story) -> Person:
    """The administrator."""
    return story.person("admin")
