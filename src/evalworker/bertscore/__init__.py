"""BERTScore F1 of an answer against its reference."""
