"""What a request through the mesh costs, against the same Envoy without Tulle."""
