"""What the supervisor offers besides MQTT: programs over HTTP, and over MQTT in chunks."""
