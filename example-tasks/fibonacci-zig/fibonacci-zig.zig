//! The Fibonacci numbers, in Zig: an ordinary program that sends events over its standard output.

const std = @import("std");

/// The next number would not fit into 64 bits.
const most = 93;

const Input = struct { count: u32 };

pub fn main() !void {
    var gpa: std.heap.ArenaAllocator = .init(std.heap.page_allocator);
    const text = try std.fs.File.stdin().readToEndAlloc(gpa.allocator(), 1 << 20);

    // Each line is one write, without buffering.
    var buffer: [256]u8 = undefined;
    var stdout = std.fs.File.stdout().writer(&buffer);
    const out = &stdout.interface;

    const input = std.json.parseFromSliceLeaky(Input, gpa.allocator(), text, .{}) catch |problem| {
        return fail(out, "the input has to be {{\"count\":N}}: {s}", .{@errorName(problem)});
    };
    if (input.count > most) return fail(out, "count has to be at most {d}", .{most});

    var now: u64 = 0;
    var next: u64 = 1;
    for (1..input.count + 1) |step| {
        // As text, because some JSON parsers round numbers above 2^53.
        try out.print(
            \\{{"event":"number","data":"{d}"}}
            \\{{"event":"progress","data":{{"step":{d},"total":{d}}}}}
            \\
        , .{ now, step, input.count });
        try out.flush();
        const after = @addWithOverflow(now, next)[0];
        now = next;
        next = after;
    }
    try out.print("{{\"result\":{{\"count\":{d}}}}}\n", .{input.count});
    try out.flush();
}

fn fail(out: *std.Io.Writer, comptime format: []const u8, values: anytype) !void {
    var message: [256]u8 = undefined;
    const failure = .{ .failure = .{
        .code = "invalid-input",
        .message = try std.fmt.bufPrint(&message, format, values),
    } };
    try out.print("{f}\n", .{std.json.fmt(failure, .{})});
    try out.flush();
    std.process.exit(1);
}
