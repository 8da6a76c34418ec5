"""What a change costs the control plane, and how long it takes to arrive, against a bare server with ready bytes."""
