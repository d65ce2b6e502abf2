"""Which endpoint the stories are told to: a given one, or a service of their own.

``ACCEPTANCE_ENDPOINT`` is a URL that ends with /v3, ``ACCEPTANCE_TOKEN`` an administrator's token of the project
``ACCEPTANCE_PROJECT``. The project should be empty; its quotas are raised and reset. What is written through NBD needs qemu-io here,
and an endpoint whose exports can be reached from here.
"""

import os
from collections.abc import Iterator

import pytest

from tests.support.blackbox import Endpoint
from tests.support.live import two_backends

PROJECT = "acceptance"


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The endpoint, with room for the stories."""
    if url := os.environ.get("ACCEPTANCE_ENDPOINT"):
        yield from roomy(Endpoint(url, os.environ["ACCEPTANCE_TOKEN"], os.environ["ACCEPTANCE_PROJECT"]))
        return
    with two_backends(tmp_path_factory.mktemp("live")) as service:
        yield from roomy(Endpoint(service.url, f"admin:{PROJECT}", PROJECT))


def roomy(endpoint: Endpoint) -> Iterator[Endpoint]:
    """The endpoint with high quotas. At the end all that the stories used must be free again."""
    quotas = f"/os-quota-sets/{endpoint.project}"
    endpoint.do("PUT", quotas, {"quota_set": {"volumes": 100, "snapshots": 100, "gigabytes": 1000}})
    before = used(endpoint)
    yield endpoint
    assert used(endpoint) == before
    endpoint.do("DELETE", quotas)


def used(endpoint: Endpoint) -> dict[str, int]:
    """What the project uses of each quota."""
    found = endpoint.get(f"/os-quota-sets/{endpoint.project}", usage="true")["quota_set"]
    return {name: value["in_use"] for name, value in found.items() if isinstance(value, dict)}
