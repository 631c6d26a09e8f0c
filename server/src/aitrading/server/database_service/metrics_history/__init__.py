"""What the service's metrics were: samples at an interval, and questions about them."""
