"""The evidence pack: raw rows, the numbers told of them, the page, and the audit that works the numbers out anew."""
