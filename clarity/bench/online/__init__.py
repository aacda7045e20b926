"""The online service as its callers meet it: a real server, a real client process, loopback, one machine for all."""
