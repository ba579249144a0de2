"""Tables, statistics and plots over recorded runs."""
