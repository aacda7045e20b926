"""The fault drill: nights of screening that are killed, starved and doubled on real parts, and what must still hold."""
