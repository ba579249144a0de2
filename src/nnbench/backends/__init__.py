"""The ways to train: one package each, none imported before it is chosen."""
