"""The bridge driver: options, devices, rules, published ports and their proxy."""
