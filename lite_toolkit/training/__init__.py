"""A folder of photographs -> what is in it, and a network that tells its classes."""
