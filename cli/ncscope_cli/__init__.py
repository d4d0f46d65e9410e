"""The `ncscope` command: every verb parses, calls one library function and writes."""
