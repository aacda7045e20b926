"""Who patients are: sealed at rest, found by keyed hashes, erased on request. Nothing here writes a name anywhere."""
