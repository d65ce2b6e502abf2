"""The suite that every driver passes, ours and those of other packages. It needs pytest.

Subclass :class:`DriverConformance` in a test module and give it a fixture ``subject`` that returns
a :class:`Subject`::

    class TestMine(DriverConformance):
        @pytest.fixture
        def subject(self, tmp_path):
            return Subject(build=lambda: MyDriver(context_for(tmp_path)))

``build`` is called several times for one test: drivers of several processes on one backend. The
suite tests data, idempotency, and that each method is of the effect class that it declares.
"""

from breezeblock.drivers.conformance.data import Data, ImageData
from breezeblock.drivers.conformance.scenarios import SCENARIOS, Scenario
from breezeblock.drivers.conformance.suite import DriverConformance, NoSpaceConformance
from breezeblock.drivers.conformance.world import Subject, World

__all__ = ["SCENARIOS", "Data", "DriverConformance", "ImageData", "NoSpaceConformance", "Scenario", "Subject", "World"]
