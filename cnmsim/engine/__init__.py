"""The simulated `dockerd`: containers, networks, images and volumes as Docker's API names them."""
