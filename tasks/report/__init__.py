"""Report: the card of a version - one HTML page, a short Markdown summary and a README."""
