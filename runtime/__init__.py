"""An ARTS runtime: a pure ``Host`` mirroring the realm, an asyncio agent, engines at its edge."""
