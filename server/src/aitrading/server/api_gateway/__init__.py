"""The control plane: identity, the edge's configuration, the page, health of the whole house."""
