"""How many distinct commands the clients' tests cover: counted from the table, and the table held against what really ran."""

import ast
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.commands import COMMANDS
from tests.support.covered import Confirmations

HERE = Path(__file__).parent


def test_the_table_names_each_command_once() -> None:
    (table,) = (node for node in ast.walk(ast.parse(Path(commands.__file__).read_text())) if isinstance(node, ast.Dict))
    assert len(table.keys) == len(COMMANDS)


def test_enough_commands_are_covered_and_enough_of_them_change_state() -> None:
    assert len(COMMANDS) >= 60
    assert sum(COMMANDS.values()) >= 35


def test_every_command_of_the_table_has_run(log: Confirmations, request: pytest.FixtureRequest) -> None:
    collected = {item.path.name for item in request.session.items}
    assert {path.name for path in HERE.glob("test_*.py")} <= collected, "only a run of the whole folder can tell"
    assert set(COMMANDS) - log.ran == set()


def test_a_change_is_confirmed_by_another_family_or_on_the_disk_only() -> None:
    log = Confirmations({"openstack volume create": True, "openstacksdk get_volume": False, "cinderclient volumes.get": False})
    log.record("openstack", "openstack volume create")
    log.record("openstack", "openstacksdk get_volume")
    assert log.take() == ["openstack volume create"]
    log.record("openstack", "openstack volume create")
    log.record("cinder", "cinderclient volumes.get")
    assert log.take() == []
    log.record("openstack", "openstack volume create")
    log.looked("disk")
    assert log.take() == []
    with pytest.raises(AssertionError, match="not in the table"):
        log.record("cinder", "cinder imagined")
