"""Learning measured: suites of tasks x agents x seeds, played cell by cell; their tables and figures."""
