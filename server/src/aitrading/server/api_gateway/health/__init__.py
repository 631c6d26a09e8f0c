"""The health of the whole house: asked for in the background, answered from what is known."""
