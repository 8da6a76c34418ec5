"""The node process: what runs on a host, its proxies, its names, and what it tells the control plane."""
