"""What a model is and how good and fast it is: description, classification, loss, accuracy, latency."""
