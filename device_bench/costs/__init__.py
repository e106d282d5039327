"""What slopes cost: work counted from a bundle, and models of seconds and bytes fitted to it."""
