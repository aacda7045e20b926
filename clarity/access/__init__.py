"""Who may call the online service: keys, what each may do, how often, and the log of what was looked at."""
