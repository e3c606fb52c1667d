"""From numbers to bytes and back: quantisation, entropy coding, bounded parsing."""
