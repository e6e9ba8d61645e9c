internal import CSockets
internal import Configuration
internal import Glibc
internal import Synchronization

/// Where records wait for the admin thread, which alone writes.
///
/// A blocked reader of our log must not make a session wait: past the limit records are dropped, counted, and the count
/// is logged once there is room again.
final class LogSink: Sendable {
    /// Bytes of records that may wait.
    static let limit = 4 << 20

    private let state = Mutex<State>(State())
    private struct State {
        var waiting = Waiting()
        var dropped: UInt64 = 0
    }

    /// Whole lines.
    struct Waiting {
        var records: [UInt8] = []
        /// Of the format `combined`.
        var requests: [UInt8] = []

        var isEmpty: Bool { records.isEmpty && requests.isEmpty }
        var count: Int { records.count + requests.count }
    }

    /// Readable when records wait.
    let wakeup: Int32

    init() throws(Failure) { wakeup = try newWakeup() }

    /// - Parameters:
    ///   - records: whole lines; taken over or dropped together, as are
    ///   - requests: those of the format `combined`.
    ///   - lines: how many there are in both.
    func append(_ records: [UInt8], requests: [UInt8] = [], lines: UInt64 = 1) {
        let mustWake = state.withLock { state in
            guard state.waiting.count + records.count + requests.count <= Self.limit else {
                state.dropped += lines
                return false
            }
            let wasEmpty = state.waiting.isEmpty
            state.waiting.records += records
            state.waiting.requests += requests
            return wasEmpty
        }
        if mustWake {
            var one: UInt64 = 1
            _ = cs_write(wakeup, &one, 8)
        }
    }

    /// Takes what waits, and the number of records lost since the last time.
    func take() -> (waiting: Waiting, dropped: UInt64) {
        var count: UInt64 = 0
        _ = cs_read(wakeup, &count, 8)
        return state.withLock { state in
            defer { state = State() }
            return (state.waiting, state.dropped)
        }
    }
}

/// The file that the admin thread writes records to.
struct LogFile: ~Copyable {
    private(set) var descriptor: Int32 = 2
    private let path: String?
    private var isRegular = false
    private var pending: [UInt8] = []
    private var written = 0

    /// - Parameter path: nil: standard error.
    init(path: String?) throws(Failure) {
        self.path = path
        try reopen()
    }

    deinit { if descriptor > 2 { _ = cs_close(descriptor) } }

    /// Opens the path anew: what logrotate asks for after it has moved the file away.
    mutating func reopen() throws(Failure) {
        guard let path else {
            isRegular = Self.isRegular(descriptor)
            return
        }
        let opened = cs_open(path, O_WRONLY | O_APPEND | O_CREAT, 0o644)
        guard opened >= 0 else {
            throw Failure(.systemError, "cannot open the log file \(path): \(errorText(-opened))")
        }
        if descriptor > 2 { _ = cs_close(descriptor) }
        descriptor = opened
        isRegular = Self.isRegular(opened)
        if isRegular { finishLine(path) }
    }

    /// A line that a crash or a full disk has left unfinished must not swallow the first new one.
    private func finishLine(_ path: String) {
        let reader = cs_open(path, O_RDONLY, 0)
        guard reader >= 0 else { return }
        defer { _ = cs_close(reader) }
        var last: UInt8 = 0
        var newline = UInt8(ascii: "\n")
        guard lseek(reader, -1, SEEK_END) >= 0, cs_read(reader, &last, 1) == 1, last != newline else { return }
        _ = cs_write(descriptor, &newline, 1)
    }

    private static func isRegular(_ descriptor: Int32) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    var hasPending: Bool { written < pending.count }

    mutating func add(_ records: [UInt8]) {
        if !hasPending {
            pending = records
            written = 0
        } else {
            pending += records
        }
    }

    /// Writes one piece. A pipe or terminal that polls as writable takes a page without blocking, and no promise more.
    mutating func writeSome() {
        guard hasPending else { return }
        let count = min(pending.count - written, isRegular ? .max : 4_096)
        let result = pending.withUnsafeBytes { cs_write(descriptor, $0.baseAddress! + written, count) }
        if result == -Int(EINTR) || result == -Int(EAGAIN) { return }
        // A log that cannot be written (disk full, reader gone) must not end the service, nor pile up.
        written += result > 0 ? result : pending.count - written
        if !hasPending { pending = [] }
    }

    /// Writes what is left, for as long as it goes on without blocking, up to `milliseconds` in all.
    mutating func flush(within milliseconds: Int32) {
        let end = cs_monotonic_nanoseconds() + UInt64(milliseconds) * 1_000_000
        while hasPending {
            let now = cs_monotonic_nanoseconds()
            guard now < end else { return }
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&entry, 1, Int32((end - now) / 1_000_000) + 1) > 0 else { continue }
            writeSome()
        }
    }
}
