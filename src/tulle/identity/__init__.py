"""Identities: SPIFFE IDs, the certificate authority, enrolment of nodes and certificates of workloads."""
