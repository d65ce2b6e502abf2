"""The exports of a deployment without daemons: what would be exported, kept beside the fake backend's memory, and fenced as there.

For the protocol's tests; the real exports have tests of their own. Rules laid on the fake backend strike here too.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from breezeblock import errors
from breezeblock.drivers.fake import FakeDriver, Outcome, Phase, Record
from breezeblock.drivers.interface import Call, Effect, Image, effect
from breezeblock.exports.ownership import Owner


class MemoryExports:
    """Which services each volume has, by its id."""

    def __init__(self, driver: FakeDriver) -> None:
        self._driver = driver
        self.services: dict[str, set[tuple[str, bool]]] = {}

    def owner(self) -> Owner:
        """This host."""
        return Owner("here", "this-boot")

    @effect(Effect.FENCED)
    def ensure(
        self,
        call: Call,
        volume_id: str,
        image: Image | Callable[[], Image],
        *,
        protocols: Collection[str] = ("nbd",),
        read_only: bool = False,
    ) -> Mapping[str, Any]:
        """Export the volume, beside what is exported of it already."""

        def work() -> Mapping[str, Any]:
            self.services.setdefault(volume_id, set()).update((protocol, read_only) for protocol in protocols)
            return self._parameters(volume_id)

        if callable(image):
            image()
        return self._fenced("ensure", call, volume_id, work)

    def connect_info(self, volume_id: str, protocol: str = "nbd", *, read_only: bool = False) -> Mapping[str, Any]:
        """How a client would reach it."""
        if (protocol, read_only) not in self.services.get(volume_id, ()):
            raise errors.ObjectMissing(what=f"the {protocol} export of volume {volume_id}")
        return {"driver_volume_type": protocol, "data": {"volume_id": volume_id, "read_only": read_only}}

    @effect(Effect.FENCED)
    def withdraw(self, call: Call, volume_id: str, protocol: str, *, read_only: bool = False) -> Mapping[str, Any] | None:
        """End one service; None when nothing is left."""

        def work() -> Mapping[str, Any] | None:
            self.services.get(volume_id, set()).discard((protocol, read_only))
            if self.services.get(volume_id):
                return self._parameters(volume_id)
            self.services.pop(volume_id, None)
            return None

        return self._fenced("withdraw", call, volume_id, work)

    @effect(Effect.FENCED)
    def forget(self, call: Call, volume_id: str) -> None:
        """The volume is being deleted."""
        self._fenced("forget", call, volume_id, lambda: self.services.pop(volume_id, None))

    def _parameters(self, volume_id: str) -> Mapping[str, Any]:
        return {"services": sorted(f"{protocol}-{read_only}" for protocol, read_only in self.services[volume_id])}

    def _fenced(self, method: str, call: Call, volume_id: str, work: Callable[[], Any]) -> Any:
        name, token = f"export {volume_id}", call.token(volume_id)
        self._driver._strike(method, volume_id, Phase.BEFORE)
        with self._driver.store.session() as session:
            seen = session.seen(name)
            refused = seen is not None and token < seen
            session.log(Record(method, Effect.FENCED, name, call.job_id, token, Outcome.REFUSED if refused else Outcome.APPLIED))
            if refused:
                raise errors.Fenced(token=token, resource=name, seen=seen)
            session.see(name, token)
            return work()
