"""What this machine gives, as ratios to the usual way of doing the same: a module a bench, one command for all."""
