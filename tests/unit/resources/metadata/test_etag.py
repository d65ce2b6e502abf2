"""ETags of metadata."""

from breezeblock.resources.metadata.rules import etag


def test_an_etag_depends_on_content_alone() -> None:
    assert etag({"a": "1", "b": "2"}) == etag({"b": "2", "a": "1"})
    assert len({etag(each) for each in ({}, {"a": "1"}, {"a": "2"}, {"a1": ""}, {"a": "1", "b": ""})}) == 5
    assert etag({}).startswith('"')
    assert etag({}).endswith('"')
