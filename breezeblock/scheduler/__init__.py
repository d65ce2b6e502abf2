"""Where a new volume goes: pure choice (choose, filters, weighers), and the reservation that makes it true (capacity)."""
