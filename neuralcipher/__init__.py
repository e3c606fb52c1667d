"""neuralcipher: seal a video into small neural networks that only a key holder can play."""
