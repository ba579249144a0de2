"""Reports and tables as HTML, Markdown, figures and text in the terminal."""
