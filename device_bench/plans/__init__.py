"""What to measure: arms, plans and the cores and tokens they name."""
