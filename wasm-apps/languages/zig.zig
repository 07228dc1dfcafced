// Error unions, tagged unions, generic containers, comptime code and formatting of Zig.
//
// Usage: zig [rounds=20]
const std = @import("std");

const Failure = error{ Odd, TooLarge };

const Value = union(enum) {
    number: i64,
    text: []const u8,
    pair: *const [2]Value,

    fn weight(value: Value) Failure!i64 {
        return switch (value) {
            .number => |number| if (number > 900) Failure.TooLarge else number,
            .text => |text| if (text.len % 2 == 1) Failure.Odd else @intCast(text.len),
            .pair => |pair| try pair[0].weight() + try pair[1].weight() * 2,
        };
    }
};

fn Matrix(comptime size: usize) type {
    return struct {
        const Self = @This();
        cells: [size][size]u32,

        fn times(left: Self, right: Self) Self {
            var result: Self = undefined;
            for (&result.cells, 0..) |*row, i| {
                for (row, 0..) |*cell, j| {
                    cell.* = 1;
                    for (0..size) |k| cell.* +%= left.cells[i][k] *% right.cells[k][j];
                }
            }
            return result;
        }
    };
}

fn made(random: std.Random, arena: std.mem.Allocator, depth: u32) !Value {
    const choice = if (depth == 0) random.uintLessThan(u32, 2) else 2;
    switch (choice) {
        0 => return .{ .number = random.uintLessThan(u32, 1000) },
        1 => {
            const text = try arena.alloc(u8, 2 + random.uintLessThan(usize, 16));
            for (text) |*letter| letter.* = 'a' + random.uintLessThan(u8, 26);
            return .{ .text = text };
        },
        else => {
            const pair = try arena.create([2]Value);
            pair.* = .{ try made(random, arena, depth - 1), try made(random, arena, depth - 1) };
            return .{ .pair = pair };
        },
    }
}

fn run(out: *std.Io.Writer, gpa: std.mem.Allocator, rounds: usize) !void {
    var generator = std.Random.DefaultPrng.init(7);
    const random = generator.random();
    var counts: std.StringArrayHashMapUnmanaged(u64) = .empty;
    defer counts.deinit(gpa);
    var primes: std.AutoHashMapUnmanaged(u32, void) = .empty;
    defer primes.deinit(gpa);
    var matrix: Matrix(8) = .{ .cells = @splat(@splat(3)) };
    var total: i64 = 0;
    for (0..rounds) |round| {
        var arena: std.heap.ArenaAllocator = .init(gpa);
        defer arena.deinit();
        for (0..40) |_| {
            const one = try made(random, arena.allocator(), 4);
            if (one.weight()) |weight| {
                total += weight;
            } else |failure| {
                const entry = try counts.getOrPutValue(gpa, @errorName(failure), 0);
                entry.value_ptr.* += 1;
            }
        }
        var numbers: [150]u32 = undefined;
        for (&numbers) |*number| number.* = random.uintLessThan(u32, 5000);
        std.mem.sort(u32, &numbers, {}, std.sort.desc(u32));
        next: for (numbers) |number| {
            if (number < 2 or primes.contains(number)) continue;
            var divisor: u32 = 2;
            while (divisor * divisor <= number) : (divisor += 1) {
                if (number % divisor == 0) continue :next;
            }
            try primes.put(gpa, number, {});
        }
        matrix.cells[round % 8][round % 5] +%= numbers[0];
        matrix = matrix.times(matrix);
        if (round % @max(rounds / 5, 1) == 0) {
            try out.print("{d} {d} {d} {x:0>8}\n", .{ round, total, primes.count(), matrix.cells[0][0] });
            try out.flush();
        }
    }
    for (counts.keys(), counts.values()) |name, count| try out.print("{s}: {d}\n", .{ name, count });
    try out.print("total {d} {e:.6}\n", .{ total, @as(f64, @floatFromInt(total)) / 7 });
    try out.flush();
}

pub fn main(init: std.process.Init) !void {
    const args = try init.minimal.args.toSlice(init.arena.allocator());
    const rounds = if (args.len > 1) try std.fmt.parseInt(usize, args[1], 10) else 20;
    var buffer: [512]u8 = undefined;
    var writer: std.Io.File.Writer = .initStreaming(.stdout(), init.io, &buffer);
    try run(&writer.interface, init.gpa, rounds);
}
