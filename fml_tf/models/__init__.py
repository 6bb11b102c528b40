"""What is learned: the face model, the Siamese networks and the model that joins them."""
