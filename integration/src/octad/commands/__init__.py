"""One module a command; the module imports nothing heavy at its top."""
