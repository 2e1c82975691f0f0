"""What trials found, the laws of the outcome model, its fit to them, and the posterior that predictions draw from."""
