"""What the other commands wrote, to look at: as one HTML page, as Markdown, on a terminal."""
