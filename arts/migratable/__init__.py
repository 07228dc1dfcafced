"""wasm -> wasm that can stop anywhere, and continuations for a captured stack. Pure bytes -> bytes.

    prepared = prepare(wasm)                      # once per program; raises Refused
    description = describe(prepared)              # frame sizes, versions, what it may block on
    points = walk_frames(frames, description)     # the captured stack, outermost first
    module = Continuations(prepared).module(points)

The contract with the host is in ``abi``.
"""
