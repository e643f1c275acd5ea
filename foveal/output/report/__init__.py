"""report.html: one page of what a session saw, said and took."""
