"""Search on the web: any endpoint that answers with JSON, off unless the user names one."""
