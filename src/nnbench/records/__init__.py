"""What a run leaves and how it is read again: run.json, weights, fingerprints, certificates."""
