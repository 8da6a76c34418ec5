"""One module per feature: each gives its fragment of a configuration, and the files of Envoy's types assemble them."""
