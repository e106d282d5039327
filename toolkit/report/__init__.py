"""One self-contained HTML page over what the other commands wrote."""
