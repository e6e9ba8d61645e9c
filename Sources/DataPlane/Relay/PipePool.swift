internal import CSockets

/// A pipe on loan: bytes on their way from one socket to another without entering user space.
struct Pipe {
    var readEnd: Int32
    var writeEnd: Int32
    /// Bytes asked of `splice` at a time.
    var capacity: Int
}

/// The pipes of one worker. An idle session holds none; a direction borrows one while bytes are in flight.
struct PipePool: ~Copyable {
    /// Empty pipes kept for the next borrower. The last one given back goes out first: its pages are still warm.
    static let mostKept = 64

    private var free: [Pipe] = []
    private(set) var lent = 0
    var limit: Int
    private var size: Int

    /// - Parameters:
    ///   - limit: pipes lent at a time; two descriptors each.
    ///   - size: bytes wanted per pipe. Halved, down to the kernel's own default, when the user's budget
    ///     (`fs.pipe-user-pages-soft`, `fs.pipe-max-size`) does not allow it.
    init(limit: Int, size: Int) {
        self.limit = limit
        self.size = size
    }

    deinit { for pipe in free { Self.close(pipe) } }

    /// nil: the limit is reached, or the kernel has no more. Not an error, the direction goes on copying.
    mutating func borrow() -> Pipe? {
        if let pipe = free.popLast() {
            lent += 1
            return pipe
        }
        guard lent < limit else { return nil }
        var ends: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { cs_pipe($0) }
        }
        guard made == 0 else { return nil }
        lent += 1
        while cs_set_pipe_size(ends.0, Int32(size)) < 0, size > 1 << 16 { size /= 2 }
        let capacity = cs_pipe_size(ends.0)
        return Pipe(readEnd: ends.0, writeEnd: ends.1, capacity: capacity > 0 ? Int(capacity) : 1 << 16)
    }

    mutating func giveBack(_ pipe: Pipe, isEmpty: Bool) {
        lent -= 1
        if isEmpty, free.count < Self.mostKept {
            free.append(pipe)
        } else {
            Self.close(pipe)
        }
    }

    private static func close(_ pipe: Pipe) {
        _ = cs_close(pipe.readEnd)
        _ = cs_close(pipe.writeEnd)
    }
}
