"""The pixel classifier: MLP, ensemble, training loop, exact factored prediction."""
