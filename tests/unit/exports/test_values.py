"""What the database holds of exports, and what is made of it."""

import pytest

from breezeblock import errors
from breezeblock.exports.record import Address, Record
from breezeblock.exports.values import from_parameters, parameters


@pytest.mark.parametrize("address", [None, Address(socket="/state/nbd/x"), Address(host="192.0.2.7", port=5000)])
def test_parameters_come_back_as_they_went(address: Address | None) -> None:
    known = Record(volume_id="v", token=(1, 2, 3), present=True, services=("nbd-ro", "nbd-rw"), address=address)
    assert from_parameters(parameters(known)) == (known.services, address)


def test_parameters_of_a_later_program_are_refused() -> None:
    with pytest.raises(errors.DriverError, match="version 2"):
        from_parameters({"version": 2})
