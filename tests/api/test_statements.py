"""What a page costs the database: as many statements for thirty rows as for three."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.api.routes import ROUTES
from breezeblock.config import QuotaDefaults
from breezeblock.resources.quotas import rules
from breezeblock.store.engine import Store
from tests.support.api import Client, application
from tests.support.rows import add_pools, add_service, add_type, add_worker

PAGES = {
    "/v3/types?is_public=none": 1,
    "/v3/types/default": 1,
    "/v3/os-services": 2,
    "/v3/scheduler-stats/get_pools?detail=true": 2,
    "/v3/capabilities/h0@b": 2,
    "/v3/os-quota-sets/p1?usage=true": 2,
    "/v3/limits": 2,
    "/v3/os-availability-zone": 1,
    "/v3/extensions": 0,
}


def fill(store: Store, numbers: range) -> None:
    for number in numbers:
        kind = add_type(store, f"type {number}", extra_specs={"a": "b"})
        store.run("use", partial(rules.charge, project_id="p1", deltas=rules.of_volume(1, kind), defaults=QuotaDefaults(volumes=-1)))
        host = f"h{number}@b"
        worker_id = add_worker(store, f"h{number}", f"volume:{host}")
        add_service(store, host, zone=f"z{number}", worker_id=worker_id)
        add_pools(store, f"{host}#p")


def counted(store: Store, ask: Callable[[], Any]) -> int:
    seen: list[str] = []

    def watch(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(store._engine, "before_cursor_execute", watch)
    try:
        assert ask().status_code == 200
    finally:
        sa.event.remove(store._engine, "before_cursor_execute", watch)
    return len(seen)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_page_costs_the_same_however_much_is_on_it(store: Store) -> None:
    admin = Client(application(store, ROUTES), "admin:p1")
    for numbers in (range(3), range(3, 30)):
        fill(store, numbers)
        assert {page: counted(store, partial(admin.get, page)) for page in PAGES} == PAGES
