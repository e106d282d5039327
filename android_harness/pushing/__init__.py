"""Files onto devices: verified, never twice."""
