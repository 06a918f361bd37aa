"""Every clip of a study, resumable: a table of clips, a ledger of what is done, one result."""
