"""What is trained, described in neutral terms: layers, losses, optimizers, schedules, weights."""
