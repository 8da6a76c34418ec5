"""The control-plane process: follows the store, compiles what proxies ask for, and tells them what changes."""
