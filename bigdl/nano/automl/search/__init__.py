"""What searches of Keras and Lightning models have in common: arguments, metrics, epochs, kept weights."""
