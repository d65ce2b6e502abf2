"""The exports of a deployment that serves no client: nothing is ever exported, and forgetting a volume is harmless."""

from breezeblock.drivers.interface import Call, Effect, effect


class NoExports:
    """Stands beside the real exports, which have tests of their own."""

    @effect(Effect.FENCED)
    def forget(self, call: Call, volume_id: str) -> None:
        """There is nothing to forget."""
