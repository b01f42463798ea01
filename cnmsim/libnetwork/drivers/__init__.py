"""The network drivers of libnetwork; `registry` lists them."""
