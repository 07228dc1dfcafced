"""An ARTS runtime: a pure ``Host`` that mirrors the realm, an asyncio agent, engines at the edge."""
