"""How far, and along what, the server moves the values after a round."""
