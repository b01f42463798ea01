"""The bridge driver: options, devices, firewall rules, published ports and docker-proxy."""
