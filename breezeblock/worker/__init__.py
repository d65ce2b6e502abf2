"""The worker process: claims jobs, runs them, proves that it is alive, and rescues the work of others."""
