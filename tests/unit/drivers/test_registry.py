"""Drivers are found by name, and a wrong name says what would have been right."""

import importlib.metadata

import pytest

from breezeblock import errors
from breezeblock.drivers import interface, registry
from breezeblock.drivers.fake import FakeDriver
from tests.support.live_images import NothingLive


def test_the_fake_is_built_by_name() -> None:
    driver = registry.build("fake", interface.DriverContext("one", {}, NothingLive()))
    assert isinstance(driver, FakeDriver)
    assert driver.backend == "one"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(errors.BadConfiguration, match=r"'tape' is unknown; known are fake, file"):
        registry.driver_class("tape")


def declared(monkeypatch: pytest.MonkeyPatch, *values: tuple[str, str]) -> None:
    points = [importlib.metadata.EntryPoint(name, value, registry.GROUP) for name, value in values]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)


def test_another_package_adds_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    declared(monkeypatch, ("theirs", "breezeblock.drivers.fake:FakeDriver"))
    assert registry.driver_class("theirs") is FakeDriver


def test_another_package_cannot_replace_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    declared(monkeypatch, ("fake", "elsewhere:Driver"))
    assert registry.driver_class("fake") is FakeDriver


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    declared(monkeypatch, ("theirs", "one:Driver"), ("theirs", "two:Driver"))
    with pytest.raises(errors.BadConfiguration, match="one:Driver and two:Driver"):
        registry.driver_class("theirs")


def test_a_driver_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    declared(monkeypatch, ("theirs", "no_such_package:Driver"))
    with pytest.raises(errors.BadConfiguration, match="no_such_package"):
        registry.driver_class("theirs")


def test_a_method_without_a_class_is_unsafe() -> None:
    class Careless(FakeDriver):
        def revert(self, *_: object, **__: object) -> interface.Handle:
            return {}

    assert interface.unsafe_methods(FakeDriver) == []
    assert interface.unsafe_methods(Careless) == ["revert"]
