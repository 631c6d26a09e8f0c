"""The data bridge: ticks in from devices, durable before they are acknowledged, out to people."""
