"""What a run found, as JSON and as one page of HTML."""
