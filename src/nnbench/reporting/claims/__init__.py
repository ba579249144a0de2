"""Published claims: expressions over measured figures, and verdicts."""
