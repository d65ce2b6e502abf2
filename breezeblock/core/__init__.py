"""The mechanism of the protocol: versions, transitions, jobs, leases. It names no resource."""
