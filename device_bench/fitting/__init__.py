"""From samples to a profile: summaries, models and the verdict on them."""
