"""Why two configurations differ: the way between them, and what each change does."""
