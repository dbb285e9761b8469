"""Normal forms of expressions: terms of equal functions rewritten to one, as far as stated laws reach."""
