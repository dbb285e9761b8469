"""Networks and cells run with fixed weights and inputs, so that equal functions give equal values."""
