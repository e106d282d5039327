"""Raw samples as they were measured, and what can be told from them alone."""
