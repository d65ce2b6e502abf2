"""The list of microversions is whole, and only its own module compares numbers."""

from breezeblock.core.versions import HIGH, LOW, V


def test_the_numbers_have_no_gap_and_no_duplicate() -> None:
    assert [version.number for version in V] == [(3, minor) for minor in range(72)]
    assert (LOW.number, HIGH.number) == ((3, 0), (3, 71))
