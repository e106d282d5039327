"""A report as HTML, as Markdown, and on a terminal."""
