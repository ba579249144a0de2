"""What recorded runs say: statistics, comparisons, claims, explanations, and their pages."""
