"""What the service manages: one folder per resource, one file per verb."""
